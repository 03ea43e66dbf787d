package lab_test

import (
	"time"

	yaml "go.yaml.in/yaml/v4"

	"postern/internal/directory"
	"postern/internal/gatetest"
)

// credentialFile is credentials.yaml of a scenario: the ways other than API keys by which its applications prove themselves.
type credentialFile []struct {
	ID          string                   `yaml:"id"`
	Application string                   `yaml:"application"`
	Kind        directory.CredentialKind `yaml:"kind"`
	Secret      string                   `yaml:"secret"`     // client_secret and shared_secret: in plain text, made for the example
	PublicKey   string                   `yaml:"public_key"` // public_key: a JSON Web Key
	Scopes      []string                 `yaml:"scopes"`
	Expires     time.Time                `yaml:"expires"`
	Revoked     time.Time                `yaml:"revoked"`
}

func readCredentials(src []byte) (*gatetest.Credentials, error) {
	var file credentialFile
	if err := yaml.Load(src, &file, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	out := &gatetest.Credentials{ByID: map[string]directory.Credential{}}
	for _, c := range file {
		row := directory.Credential{ID: c.ID, Application: c.Application, Kind: c.Kind, PublicKey: c.PublicKey, Scopes: c.Scopes, Expires: c.Expires, Revoked: c.Revoked}
		switch c.Kind {
		case directory.ClientSecret:
			row.Hash = directory.HashSecret(c.Secret)
		case directory.SharedSecret:
			row.Secret = []byte(c.Secret)
		}
		out.ByID[c.ID] = row
	}
	return out, nil
}
