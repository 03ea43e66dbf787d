package decision

// Disclosure says how widely something may be told, and equally who is asking: an asker may see what has at least the
// asker's own disclosure. The zero value is the narrowest, so that what nobody classified stays with the operator
// (DESIGN section 6, "Who is told what").
type Disclosure uint8

const (
	ToOperator Disclosure = iota // the operator of the tenant, and the security administrator
	ToOwner                      // the owner of the application that called
	ToProven                     // a caller whose credential verified, even if expired or revoked
	ToAnyone                     // anonymous callers
)

// String returns the word used in the reason pages and the API.
func (d Disclosure) String() string {
	return [...]string{"operator", "owner", "proven", "anyone"}[min(d, ToAnyone)]
}

// VisibleTo reports whether an asker of that standing may be told.
func (d Disclosure) VisibleTo(asker Disclosure) bool { return d >= asker }

// Told returns the reason an asker of that standing is given: the reason itself where it may be told, otherwise its
// coarse stand-in. The status never changes: terse is allowed, misleading is not.
func (r *Reason) Told(asker Disclosure) *Reason {
	if r.Public.VisibleTo(asker) {
		return r
	}
	if r.Gate == "authn" && CredentialRejected.Public.VisibleTo(asker) && r.Status == CredentialRejected.Status {
		return CredentialRejected
	}
	return PolicyRefused
}
