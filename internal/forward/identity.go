package forward

import (
	"postern/internal/gate"
	"postern/internal/header"
	"postern/internal/policy"
)

// identity is the fields by which an upstream learns who calls.
type identity []identityField

type identityField struct {
	name  string
	value func(*gate.Principal) []string // empty: the field is not sent
}

// newIdentity compiles the fields of a configuration. Order is fixed, so that requests look alike.
func newIdentity(c *policy.Identity) (out identity) {
	if c == nil {
		return nil
	}
	add := func(name string, value func(*gate.Principal) []string) {
		if name != "" {
			out = append(out, identityField{name, value})
		}
	}
	add(c.Application, func(p *gate.Principal) []string { return []string{p.Application.ID} })
	add(c.Tenant, func(p *gate.Principal) []string { return []string{p.Tenant.ID} })
	add(c.User, func(p *gate.Principal) []string { return []string{p.Subject} })
	add(c.Credential, func(p *gate.Principal) []string { return []string{p.Key.ID} })
	add(c.Method, func(p *gate.Principal) []string { return []string{p.Method} })
	add(c.Issuer, func(p *gate.Principal) []string { return []string{p.Issuer} })
	add(c.Scopes, func(p *gate.Principal) []string { return p.Scopes })
	add(c.Roles, func(p *gate.Principal) []string {
		return append(p.Application.Roles[:len(p.Application.Roles):len(p.Application.Roles)], p.Roles...)
	})
	for _, a := range policy.SortedNames(c.Attributes) {
		add(c.Attributes[a], func(p *gate.Principal) []string {
			for _, have := range p.Attributes {
				if have.Name == a {
					return []string{have.Value}
				}
			}
			return nil
		})
	}
	return out
}

// claims reports whether a field of the caller looks, to any server, like one that tells who calls: it is never passed on.
func (id identity) claims(name string) bool {
	for i := range id {
		if same(name, id[i].name) {
			return true
		}
	}
	return false
}

// addIdentity tells the target who calls, as far as it was proven.
func (c *call) addIdentity() {
	p := &c.x.Principal
	if !p.Proven {
		return
	}
	for i := range c.up.identity {
		f := &c.up.identity[i]
		if v := c.plainList(f.value(p)); v != "" {
			c.fields = append(c.fields, header.Field{Name: f.name, Value: v})
		}
	}
}

// plainList joins values with spaces. What is not visible ASCII, and the percent sign, is percent-encoded as UTF-8 (RFC 3986
// section 2.1): names of people come from tokens and have any character, and a field must not be split by one.
func (c *call) plainList(values []string) string {
	start := len(c.text)
	for _, v := range values {
		if v == "" {
			continue
		}
		if len(c.text) > start {
			c.text = append(c.text, ' ')
		}
		for i := range len(v) {
			b := v[i]
			if b > 0x20 && b < 0x7f && b != '%' {
				c.text = append(c.text, b)
				continue
			}
			const digits = "0123456789ABCDEF"
			c.text = append(c.text, '%', digits[b>>4], digits[b&15])
		}
	}
	return c.textFrom(start)
}
