package gateway

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Canaries looks for planted secrets where none may ever be: in what the gateway printed, in every answer of its management
// API, in its newest records and audit trail, and in every file of its data folder.
func Canaries(t testing.TB, p *Process, m *Manager, secrets map[string]string) {
	t.Helper()
	_ = m.Records(1000)
	_, _, _ = m.Try("GET", "/api/v1/audit?limit=1000", nil)
	_, _, _ = m.Try("GET", "/api/v1/keys?limit=1000", nil)
	_, _, _ = m.Try("GET", "/api/v1/config", nil)
	_, _, _ = m.Try("GET", "/api/v1/status", nil)
	_, _, _ = m.Try("GET", "/metrics", nil)
	places := map[string]string{"the output": p.Output(), "an answer of the management API": m.Answers()}
	err := filepath.WalkDir(p.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		places["the file "+d.Name()] = string(b)
		return err
	})
	if err != nil {
		t.Errorf("data folder: %v", err)
	}
	for what, secret := range secrets {
		if len(secret) < 12 {
			t.Fatalf("%s is too short to be searched for", what)
		}
		for place, text := range places {
			if i := strings.Index(text, secret); i >= 0 {
				from, to := max(0, i-120), min(len(text), i+len(secret)+60)
				t.Errorf("%s stands in %s: …%q…", what, place, strings.ReplaceAll(text[from:to], secret, "<the secret>"))
			}
		}
	}
}
