package lab

import (
	"fmt"
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/policy"
)

// redactURL replaces the values of parameters that look like credentials: a Result is shown, logged and mailed around.
func redactURL(u string) string {
	base, query, ok := strings.Cut(u, "?")
	if directory.FindKey(base) >= 0 {
		base = decision.Redacted
	}
	if !ok {
		return base
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		if value != "" && (secretName(name) || directory.FindKey(value) >= 0) {
			parts[i] = name + "=" + decision.Redacted
		}
	}
	return base + "?" + strings.Join(parts, "&")
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"key", "token", "secret", "password", "passwd", "signature", "sig", "code", "credential", "auth"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// at says where a rule was written, or "" when the document was not read from a file.
func at(d *policy.Document, pointer string) string {
	file, line, column := d.Locate(pointer)
	if line == 0 || file == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}
