package lab

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// credentialProposals are candidates for the gate authn.
var credentialProposals = map[string]proposal{
	decision.CredentialMissing.Code:   {find: (*question).sendCredential},
	decision.CredentialRejected.Code:  {find: (*question).sendCredential},
	decision.CredentialMisplaced.Code: {find: (*question).moveCredential},
	decision.KeyExpired.Code:          {find: (*question).renewKey},
	decision.KeyRevoked.Code:          {find: (*question).renewKey},
	decision.ApplicationUnknown.Code:  {find: (*question).sendCredential},
	decision.TooManyFailures.Code:     {find: (*question).waitOut, whyNot: "how long the guard against guessing lasts is not known here"},

	decision.TokenExpired.Code:         {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenNotYetValid.Code:     {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenSignature.Code:       {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenIssuer.Code:          {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenAudience.Code:        {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenAlgorithm.Code:       {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenKeyUnknown.Code:      {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.TokenClaim.Code:           {find: (*question).sendCredential, whyNot: tokenWhyNot},
	decision.CredentialExpired.Code:    {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.CredentialRevoked.Code:    {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.SignatureInvalid.Code:     {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.SignatureTime.Code:        {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.SignatureCoverage.Code:    {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.DigestMismatch.Code:       {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.CertificateUntrusted.Code: {find: (*question).sendCredential, whyNot: secretWhyNot},
	decision.CertificateExpired.Code:   {find: (*question).sendCredential, whyNot: secretWhyNot},
}

const (
	tokenWhyNot  = "only the issuer can make another token, and what it would put into it is not known here"
	secretWhyNot = "only who has the secret can make another credential or signature, so none can be tried"
)

// standIn is the text of a key that was never issued: with it a world holds a key whose real text nobody has.
func standIn(name string) string {
	text, err := directory.NewKeyText(bytes.NewReader(bytes.Repeat([]byte("stand-in for "+name+"\x00"), 96)))
	if err != nil {
		panic("lab: " + err.Error()) // the reader is longer than what is read
	}
	return text
}

// holdKey lets the request carry a key, in place of any credential it has.
func (w *world) holdKey(field string, k directory.Key) {
	text := standIn(k.ID)
	k.Hash = directory.HashKey(text)
	w.people.putKey(k)
	w.dropHeader("Authorization")
	if header.EqualFold(field, "Authorization") {
		text = "Bearer " + text
	}
	w.setHeader(field, text)
}

func (q *question) field() string { return credentialField(q.a.snap.Document, q.a.x.Op) }

const newcomer = "some-application" // an application that has what the operation asks for, and nothing else

// sendCredential proposes the credential of an application that may do this, and lists what that takes.
func (q *question) sendCredential() []Change {
	op, ok := q.listed()
	if !ok {
		return nil
	}
	field := q.field()
	app := directory.Application{ID: newcomer, Tenant: newcomer, Standing: directory.Active}
	var takes []string
	subscribed := q.subscriptionNeeded()
	if subscribed {
		takes = append(takes, "is subscribed to "+op.API+" "+op.Version)
	}
	if op.Permission != "" {
		roles := q.a.snap.RolesWith(op.Permission)
		if len(roles) == 0 {
			takes = append(takes, "has a role with '"+op.Permission+"', which no role of the configuration grants")
		} else {
			app.Roles = roles[:1]
			takes = append(takes, "has the role "+roles[0])
		}
	}
	own := q.principal().Application.ID != "" && q.principal().Proven // the credential says whose it is, and another is needed
	of := "of an application"
	switch {
	case own:
		app.ID, takes = q.principal().Application.ID, nil
		of = "of " + app.ID
	case len(takes) > 0:
		of += " that " + words(takes)
	}
	if len(op.Scopes) > 0 {
		of += ", not limited to other scopes than " + words(op.Scopes)
	}
	keys := acceptsKeys(q.a.snap.Document, q.a.x.Op)
	c := Change{Kind: "send_credential", slot: "credential", Who: byCaller, Target: "credential", To: "one " + of, Risk: RiskNone,
		Text: "Send a credential that is accepted here, " + of + ".", terse: "Send a credential that is accepted here."}
	if keys {
		c.Target, c.To = "header "+field, "the API key "+of
		c.Text, c.terse = "Send the API key "+of+" in the header "+field+".", "Send a valid API key in the header "+field+"."
	}
	c.apply = func(w *world) error {
		if !own {
			w.people.applications = with(w.people.applications, app.ID, app)
			w.people.tenants = with(w.people.tenants, app.Tenant, directory.Tenant{ID: app.Tenant, Standing: directory.Active})
			if subscribed {
				w.people.putSubscription(directory.Subscription{ID: "s_" + newcomer, Application: app.ID, API: op.API, Version: op.Version, State: directory.Approved})
			}
		}
		if keys {
			w.holdKey(field, directory.Key{ID: "k_" + newcomer, Application: app.ID, Scopes: op.Scopes})
			return nil
		}
		if w.wait < q.w.wait { // until then the guard against guessing looks at no credential, good or bad
			return errors.New("the credential is looked at only after the wait")
		}
		// Nobody here can make such a credential, so authn is taken to have accepted one.
		w.ifs.caller = &caller{application: app.ID, scopes: op.Scopes, method: "jwt"}
		if own { // another of the same kind says the same of its holder
			w.ifs.caller.roles, w.ifs.caller.subject = q.principal().Roles, q.principal().Subject
		}
		return nil
	}
	out := []Change{c}
	if p, ok := q.operation(); ok && p.operation >= 0 && q.v.Reason() == decision.CredentialMissing {
		out = append(out, q.makePublic(p))
	}
	if f := "Authorization"; q.v.Reason() == decision.CredentialRejected && !header.EqualFold(f, field) && q.w.req.Header.Has(f) && q.w.req.Header.Has(field) {
		out = append(out, Change{
			Kind: "remove_header", Who: byCaller, Target: "header " + f, Risk: RiskNone, public: decision.ToAnyone,
			Text:  "Send one credential only: leave out the header " + f + ".",
			apply: func(w *world) error { w.dropHeader(f); return nil },
		})
	}
	return out
}

// subscriptionNeeded reports whether the operation asks for a subscription.
func (q *question) subscriptionNeeded() bool {
	return q.a.x.Op != nil && slices.ContainsFunc(q.a.x.Op.Chain, func(l gate.Link) bool { return l.Name == "subscription" })
}

// acceptsKeys reports whether the operation reads API keys.
func acceptsKeys(doc *policy.Document, op *gate.Operation) bool {
	p, ok := placeOf(op.Pointer)
	if !ok {
		return false
	}
	for _, at := range []string{p.pointer, p.versionPointer()} {
		if a, ok := valueAt[policy.Authn](doc, at+"/authn"); ok {
			return a.APIKey != nil || reflect.ValueOf(a).IsZero()
		}
	}
	return true
}

func (q *question) makePublic(p place) Change {
	c := Change{
		Kind: "make_public", Who: byOperator, Target: p.pointer + "/authn", To: "none: true", Risk: RiskOpen,
		Text: fmt.Sprintf("If %s is meant for everybody, set `none: true` under its `authn`: nobody is asked who they are then.", q.a.x.Op.Name),
	}
	c.apply = func(w *world) error {
		return edit(w, c.id(), p.pointer, func(o *policy.Operation) error {
			o.Authn = &policy.Authn{None: true}
			o.Permission, o.Scopes = "", nil
			return nil
		})
	}
	return c
}

// moveCredential puts a key that stands somewhere else where it is read.
func (q *question) moveCredential() []Change {
	text, from := q.misplaced()
	if text == "" {
		return nil
	}
	field := q.field()
	return []Change{{
		Kind: "move_credential", slot: "credential", Who: byCaller, Target: "header " + field, From: from, Risk: RiskNone, public: decision.ToAnyone,
		Text: "Send the key in the header " + field + ", and not in " + from + ".",
		apply: func(w *world) error {
			w.req.Header = slices.DeleteFunc(w.req.Header, func(f header.Field) bool { return strings.Contains(f.Value, text) })
			if header.EqualFold(field, "Authorization") {
				w.setHeader(field, "Bearer "+text)
			} else {
				w.setHeader(field, text)
			}
			return w.setURL(func(p *parts) { p.query = withoutKey(p.query) })
		},
	}}
}

// misplaced finds the key text in the request, and words where.
func (q *question) misplaced() (text, from string) {
	_, from = q.fact("place")
	find := func(s string) bool {
		at := directory.FindKey(s)
		if at < 0 {
			return false
		}
		text = s[at:]
		if end := strings.IndexFunc(text, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}); end >= 0 {
			text = text[:end]
		}
		return true
	}
	for _, f := range q.w.req.Header {
		if find(f.Value) {
			return text, from
		}
	}
	if find(q.w.req.URL) || find(string(q.w.req.Body)) {
		return text, from
	}
	return "", from
}

// withoutKey removes parameters that hold a key.
func withoutKey(query string) string {
	if query == "" {
		return ""
	}
	return strings.Join(slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return directory.FindKey(p) >= 0 }), "&")
}

// renewKey proposes a successor for a key that is expired or revoked, and a later end for one that is expired.
func (q *question) renewKey() []Change {
	k := q.principal().Key
	if k.ID == "" {
		return nil
	}
	field := q.field()
	fresh := directory.Key{ID: "k_new", Application: k.Application, Name: k.Name, Scopes: k.Scopes}
	out := []Change{{
		Kind: "rotate_key", slot: "credential", Who: byOwner, Target: "key " + k.ID, To: "a new key of " + k.Application, Risk: RiskOne, public: decision.ToProven,
		Text:  "Make a new key for " + k.Application + " with the scopes of " + k.ID + " (`postern keys rotate " + k.ID + "`), and send that.",
		apply: func(w *world) error { w.holdKey(field, fresh); return nil },
	}}
	if q.v.Reason() == decision.KeyRevoked {
		out[0].Kind = "create_key"
		out[0].Text = "Make a new key for " + k.Application + " with the scopes of " + k.ID + " (`postern keys create`), and send that."
	}
	if op, ok := q.listed(); ok && len(k.Scopes) > 0 {
		missing := slices.DeleteFunc(slices.Clone(op.Scopes), func(s string) bool { return slices.Contains(k.Scopes, s) })
		if len(missing) > 0 { // whoever makes a new key can make one that is wide enough
			out = append(out, q.keyWith(missing))
		}
	}
	if k.ReplacedBy != "" && q.s.p.Key != nil {
		if next, err := q.s.p.Key(q.s.ctx, k.ReplacedBy); err == nil {
			out = append(out, Change{
				Kind: "use_key", slot: "credential", Who: byCaller, Target: "header " + field, From: k.ID, To: next.ID, Risk: RiskNone, public: decision.ToProven,
				Text:  "Send the key " + next.ID + ", which replaced " + k.ID + ".",
				apply: func(w *world) error { w.holdKey(field, next); return nil },
			})
		}
	}
	if q.v.Reason() == decision.KeyExpired {
		out = append(out, Change{
			Kind: "extend_key", Who: byOperator, Target: "key " + k.ID, From: k.Expires.UTC().Format(time.RFC3339), To: "a later end", Risk: RiskOne,
			Text: "Let the key " + k.ID + " end later than " + k.Expires.UTC().Format(time.RFC3339) + ", or never.",
			apply: func(w *world) error {
				return w.people.editKey(k.Hash, func(k *directory.Key) { k.Expires = time.Time{} })
			},
		})
	}
	return out
}
