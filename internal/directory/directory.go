// Package directory holds the words for who calls: tenants, applications, credentials, subscriptions and users.
//
// Directory data is not configuration: creating or revoking a key recompiles nothing, acts on every node within a
// second and scales to millions of rows. Values here are plain data; internal/sqlite keeps them, Index serves them.
package directory

import "time"

// Standing is whether a tenant or application may act.
type Standing string

const (
	Active    Standing = "active"
	Suspended Standing = "suspended"
)

// Tenant is an organisation. Everything else in the directory belongs to one.
type Tenant struct {
	ID       string    `json:"id"`   // 1 to 63 of a-z 0-9 and '-', chosen by the operator
	Name     string    `json:"name"` // for people
	Standing Standing  `json:"standing"`
	Created  time.Time `json:"created"`
}

// Application is a consumer of APIs. It owns credentials and subscriptions.
type Application struct {
	ID       string    `json:"id"` // 1 to 63 of a-z 0-9 and '-', unique over all tenants
	Tenant   string    `json:"tenant"`
	Name     string    `json:"name"`
	Owner    string    `json:"owner,omitempty"` // id of the user who owns it in the portal
	Standing Standing  `json:"standing"`
	Roles    []string  `json:"roles"` // names of roles in the configuration document
	Created  time.Time `json:"created"`
}

// Key is an API key as the gateway remembers it: never the key itself, only the SHA-256 of it.
type Key struct {
	ID          string    `json:"id"` // public: shown in lists, traces and records
	Application string    `json:"application"`
	Name        string    `json:"name,omitempty"`
	Hash        [32]byte  `json:"-"`                // SHA-256 of the whole key text
	Scopes      []string  `json:"scopes,omitempty"` // what the key is limited to
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"` // zero: never
	Revoked     time.Time `json:"revoked,omitzero"` // zero: not; in the future: a rotation whose overlap runs until then
	ReplacedBy  string    `json:"replaced_by,omitempty"`
}

// SubscriptionState is where a subscription stands.
type SubscriptionState string

const (
	Pending               SubscriptionState = "pending"
	Approved              SubscriptionState = "approved"
	Rejected              SubscriptionState = "rejected"
	SubscriptionSuspended SubscriptionState = "suspended"
	Revoked               SubscriptionState = "revoked"
)

// Subscription connects an application with a version of an API under a plan.
type Subscription struct {
	ID          string            `json:"id"`
	Application string            `json:"application"`
	API         string            `json:"api"`
	Version     string            `json:"version"` // "*" stands for every version of the API
	Plan        string            `json:"plan,omitempty"`
	State       SubscriptionState `json:"state"`
	Comment     string            `json:"comment,omitempty"`
	Created     time.Time         `json:"created"`
	Expires     time.Time         `json:"expires,omitzero"`
}

// User is a person who signs in to the console or the management API.
type User struct {
	ID       string    `json:"id"`
	Tenant   string    `json:"tenant,omitempty"` // empty: a user of the platform itself
	Email    string    `json:"email"`
	Name     string    `json:"name,omitempty"`
	Roles    []string  `json:"roles"` // management roles: admin, operator, security, viewer
	Standing Standing  `json:"standing"`
	Created  time.Time `json:"created"`
}
