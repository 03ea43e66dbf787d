package gatetest

import (
	"postern/internal/directory"
	"postern/internal/gate"
)

// Credentials is a gate.Credentials in memory. Set Err to make it fail.
type Credentials struct {
	ByID map[string]directory.Credential
	Err  error
}

// Owns gives shop-web credentials, and the exchange the way to find them.
func Owns(list ...directory.Credential) func(*gate.Exchange) {
	return func(x *gate.Exchange) {
		c := &Credentials{ByID: map[string]directory.Credential{}}
		for _, row := range list {
			if row.Application == "" {
				row.Application = "shop-web"
			}
			c.ByID[row.ID] = row
		}
		x.Env.Credentials = c
	}
}

// Credential implements gate.Credentials.
func (c *Credentials) Credential(id string, into *directory.Credential) (bool, error) {
	if c.Err != nil {
		return false, c.Err
	}
	row, ok := c.ByID[id]
	if ok {
		*into = row
	}
	return ok, nil
}

// CredentialByMatch implements gate.Credentials.
func (c *Credentials) CredentialByMatch(match string, into *directory.Credential) (bool, error) {
	if c.Err != nil {
		return false, c.Err
	}
	for _, row := range c.ByID {
		if row.Match == match && match != "" {
			*into = row
			return true, nil
		}
	}
	return false, nil
}
