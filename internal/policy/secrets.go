package policy

import (
	"errors"
	"fmt"
	"strings"
)

// maxSecret bounds what a reference may bring in.
const maxSecret = 64 << 10

// Resolve replaces the references in s: ${env:NAME} by an environment variable, ${file:/path} by what is in a file,
// without the line break at its end. "$${" stands for "${" itself, and any other "$" for itself.
//
// A reference to nothing, or to something empty, is an error. Errors name the reference, never a value.
func Resolve(s string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	var b strings.Builder
	err := eachReference(s, func(literal string) { b.WriteString(literal) }, func(scheme, name string) error {
		v, err := lookUp(scheme, name, getenv, readFile)
		if err != nil {
			return fmt.Errorf("${%s:%s}: %w", scheme, name, err)
		}
		b.WriteString(v)
		return nil
	})
	if err != nil {
		return "", err
	}
	return b.String(), nil
}

func lookUp(scheme, name string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	if scheme == "env" {
		v, ok := getenv(name)
		if !ok {
			return "", errors.New("the environment variable is not set")
		}
		if v == "" {
			return "", errors.New("the environment variable is empty")
		}
		return v, bounded(len(v))
	}
	raw, err := readFile(name)
	if err != nil {
		return "", errors.New(readFault(err))
	}
	if err := bounded(len(raw)); err != nil {
		return "", err
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if v == "" {
		return "", errors.New("the file is empty")
	}
	return v, nil
}

func bounded(n int) error {
	if n > maxSecret {
		return fmt.Errorf("what it leads to is larger than %d KiB", maxSecret>>10)
	}
	return nil
}

// CheckReferences reports what is wrong with the form of the references in s, without following them.
func CheckReferences(s string) error {
	return eachReference(s, func(string) {}, func(string, string) error { return nil })
}

// eachReference splits s into literal text and references. RATIONALE for the terse errors: s may be a secret, so that
// only what is certainly a reference is quoted.
func eachReference(s string, literal func(string), reference func(scheme, name string) error) error {
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			literal(s)
			return nil
		}
		if i > 0 && s[i-1] == '$' {
			literal(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		literal(s[:i])
		body, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return errors.New("a reference is not closed: write ${env:NAME} or ${file:/path}, and $${ for the two characters themselves")
		}
		scheme, name, _ := strings.Cut(body, ":")
		if scheme != "env" && scheme != "file" || name == "" {
			return errors.New("a reference is of no known kind: write ${env:NAME} or ${file:/path}, and $${ for the two characters themselves")
		}
		if err := reference(scheme, name); err != nil {
			return err
		}
		s = rest
	}
}
