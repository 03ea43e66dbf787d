// Package store is the contract of storage: the document with its generations, the directory, the audit trail, sign-in
// data and call records, and what each call guarantees. Adapters (internal/sqlite first) implement it and pass the shared
// suite in internal/storetest.
//
// A write that returned nil survives kill -9 and power loss. A write and its audit entry are one transaction.
package store

import (
	"context"
	"errors"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/record"
)

var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the row exists already, or is not in the version the caller expected.
	ErrConflict = errors.New("conflict")
	// ErrReference says that a row this one needs does not exist, or that a row is still needed by others.
	ErrReference = errors.New("reference")
	// ErrHistory is returned by Changes when changes since that number are no longer remembered, or the number is not of
	// this store: whoever follows must load everything again.
	ErrHistory = errors.New("changes not remembered that far back")
)

// Generation is one version of the configuration document.
type Generation struct {
	Number   uint64    `json:"generation"` // 1, 2, 3 …
	Document []byte    `json:"-"`          // as YAML, the way it was written
	Actor    string    `json:"actor"`
	Comment  string    `json:"comment,omitempty"`
	Created  time.Time `json:"created"`
}

// AuditEntry is one line of the audit trail. The store numbers it.
type AuditEntry struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`          // "user:ada", "token:ci", "bootstrap", "cli"
	From   string    `json:"from,omitempty"` // address
	Action string    `json:"action"`         // "key.create"
	Target string    `json:"target"`         // "key/k_1a2b"
	Tenant string    `json:"tenant,omitempty"`
	Detail string    `json:"detail,omitempty"` // JSON; never secrets
}

// Token is an API token of the management API, or a session of the console: only the SHA-256 of the secret is kept.
type Token struct {
	ID      string    `json:"id"`
	User    string    `json:"user,omitempty"` // empty for the bootstrap token
	Name    string    `json:"name,omitempty"`
	Kind    string    `json:"kind"` // bootstrap, api or session
	Hash    [32]byte  `json:"-"`
	Roles   []string  `json:"roles"` // that allow at most what the user may do
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// SigningKey is a key of the gateway's own tokens.
type SigningKey struct {
	ID      string
	Private []byte // PKCS #8; nil when it could not be unsealed
	Created time.Time
}

// Page asks for rows after a cursor. Rows are ordered by id.
type Page struct {
	After string
	Limit int // default 100, at most 1000
}

// Reader reads. Every method returns ErrNotFound for a missing row.
type Reader interface {
	CurrentGeneration(ctx context.Context) (Generation, error)
	Generation(ctx context.Context, number uint64) (Generation, error)
	Generations(ctx context.Context, before uint64, limit int) ([]Generation, error) // newest first, without documents

	Tenant(ctx context.Context, id string) (directory.Tenant, error)
	Tenants(ctx context.Context, p Page) ([]directory.Tenant, error)
	Application(ctx context.Context, id string) (directory.Application, error)
	Applications(ctx context.Context, tenant string, p Page) ([]directory.Application, error) // tenant "": all
	Key(ctx context.Context, id string) (directory.Key, error)
	Keys(ctx context.Context, application string, p Page) ([]directory.Key, error) // application "": all
	Credential(ctx context.Context, id string) (directory.Credential, error)
	Credentials(ctx context.Context, application string, p Page) ([]directory.Credential, error) // application "": all
	Subscription(ctx context.Context, id string) (directory.Subscription, error)
	Subscriptions(ctx context.Context, application string, p Page) ([]directory.Subscription, error)
	User(ctx context.Context, id string) (directory.User, error)
	UserByEmail(ctx context.Context, email string) (directory.User, error)
	Users(ctx context.Context, p Page) ([]directory.User, error)
	PasswordHash(ctx context.Context, user string) (string, error) // argon2id in PHC form
	Token(ctx context.Context, id string) (Token, error)
	TokenByHash(ctx context.Context, hash [32]byte) (Token, error)
	Tokens(ctx context.Context, user string, p Page) ([]Token, error)
	SigningKeys(ctx context.Context) ([]SigningKey, error)                          // oldest first
	AuditTrail(ctx context.Context, before uint64, limit int) ([]AuditEntry, error) // newest first
}

// Tx writes within one transaction. Put inserts or replaces by id. Deleting a tenant or application deletes what belongs to it.
type Tx interface {
	Reader
	// AppendGeneration stores a document as generation base+1, and fails with ErrConflict when base is not the current one.
	AppendGeneration(ctx context.Context, base uint64, g Generation) (uint64, error)
	PutTenant(ctx context.Context, t directory.Tenant) error
	DeleteTenant(ctx context.Context, id string) error
	PutApplication(ctx context.Context, a directory.Application) error
	DeleteApplication(ctx context.Context, id string) error
	PutKey(ctx context.Context, k directory.Key) error // ErrConflict when another key has the hash
	DeleteKey(ctx context.Context, id string) error
	// PutCredential keeps the secret of a credential sealed. ErrConflict says that another credential has the match.
	PutCredential(ctx context.Context, c directory.Credential) error
	DeleteCredential(ctx context.Context, id string) error
	PutSubscription(ctx context.Context, s directory.Subscription) error // ErrConflict when application, api and version have one
	DeleteSubscription(ctx context.Context, id string) error
	PutUser(ctx context.Context, u directory.User) error // ErrConflict when another user has the email
	DeleteUser(ctx context.Context, id string) error
	PutPasswordHash(ctx context.Context, user, phc string) error
	PutToken(ctx context.Context, t Token) error
	PutSigningKey(ctx context.Context, k SigningKey) error // ErrConflict when the id is taken; the private key is kept sealed
	DeleteSigningKey(ctx context.Context, id string) error
	DeleteToken(ctx context.Context, id string) error
	// Idempotent remembers the answer to a POST under its key for a day. It returns the earlier answer, if there is one.
	Idempotent(ctx context.Context, actor, key string, request [32]byte) (*SavedAnswer, error)
	SaveAnswer(ctx context.Context, actor, key string, request [32]byte, a SavedAnswer) error
}

// SavedAnswer is what an idempotent POST was answered. ErrConflict is returned when a key comes back with another request.
type SavedAnswer struct {
	Status int
	Body   []byte
}

// Store keeps the document, the directory and the audit trail.
type Store interface {
	Reader
	// Update runs fn in a transaction and commits it with the audit entry; an entry without action writes none (sessions,
	// bootstrap). When fn fails nothing is written and its error is returned.
	Update(ctx context.Context, entry AuditEntry, fn func(Tx) error) error
	// The Each methods stream every row for the in-memory index.
	EachTenant(ctx context.Context, fn func(directory.Tenant) error) error
	EachApplication(ctx context.Context, fn func(directory.Application) error) error
	EachKey(ctx context.Context, fn func(directory.Key) error) error
	EachSubscription(ctx context.Context, fn func(directory.Subscription) error) error
	EachCredential(ctx context.Context, fn func(directory.Credential) error) error
	// Changes returns directory rows changed since a sequence number, with the newest number, so that other processes on the
	// same store (the CLI, other nodes) are followed by polling. A deleted row has only its id (and a key its hash, by which
	// the index knows it). Rows come in the order of their changes and in their present state; when fewer than limit come
	// back, that was all. ErrHistory says that since is too old or too new; the newest number is returned with it too.
	Changes(ctx context.Context, since uint64, limit int) ([]Change, uint64, error)
	Close() error
}

// Change is one changed row of the directory.
type Change struct {
	Sequence     uint64
	Kind         string // tenant, application, key, credential or subscription
	ID           string
	Tenant       *directory.Tenant
	Application  *directory.Application
	Key          *directory.Key
	Credential   *directory.Credential
	Subscription *directory.Subscription
	KeyHash      [32]byte // of a deleted key
}

// Records keeps call records.
type Records interface {
	// Records are ordered by their id, and Since and Until compare the time in the id, which is that of the record to the
	// millisecond.

	// AppendRecords stores a batch, which it does not keep, in one transaction; a record whose id is there already is left as
	// it was. Losing the newest batch in a power cut is allowed; kill -9 loses none.
	AppendRecords(ctx context.Context, batch []record.Record) error
	Record(ctx context.Context, id decision.TraceID) (record.Record, error)
	FindRecords(ctx context.Context, q record.Query) ([]record.Record, error)
	// TrimRecords deletes the oldest beyond an age or a number and says how many went. The zero time means any age, a number
	// below 1 any number.
	TrimRecords(ctx context.Context, olderThan time.Time, most int64) (int64, error)
}

// CounterState keeps limit counters over a restart.
type CounterState interface {
	SaveCounters(ctx context.Context, rows []CounterRow) error
	EachCounter(ctx context.Context, fn func(CounterRow) error) error
}

// CounterRow is one counter: for a rate the theoretical arrival time, for a quota the period and what was used of it.
type CounterRow struct {
	Limit, Subject string
	A, B           int64 // meaning belongs to internal/counter
	Expires        time.Time
}
