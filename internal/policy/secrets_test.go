package policy

import (
	"io/fs"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	env := map[string]string{"TOKEN": "t0p", "EMPTY": "", "HUGE": strings.Repeat("x", maxSecret+1)}
	files := map[string]string{"/run/key": "k3y\n", "/run/dos": "k3y\r\n", "/run/lines": "a\nb\n", "/run/empty": "\n"}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	readFile := func(name string) ([]byte, error) {
		if name == "/run/locked" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		v, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(v), nil
	}
	const form = ": write ${env:NAME} or ${file:/path}, and $${ for the two characters themselves"
	for _, c := range []struct{ in, want, fault string }{
		{in: "plain", want: "plain"},
		{in: "", want: ""},
		{in: "Bearer ${env:TOKEN}", want: "Bearer t0p"},
		{in: "${file:/run/key}", want: "k3y"},
		{in: "${file:/run/dos}", want: "k3y"},
		{in: "${file:/run/lines}", want: "a\nb"},
		{in: "${env:TOKEN}:${file:/run/key}", want: "t0p:k3y"},
		{in: "$${env:TOKEN} costs $5 $TOKEN", want: "${env:TOKEN} costs $5 $TOKEN"},
		{in: "}{$", want: "}{$"},
		{in: "${env:NONE}", fault: "${env:NONE}: the environment variable is not set"},
		{in: "${env:EMPTY}", fault: "${env:EMPTY}: the environment variable is empty"},
		{in: "${env:HUGE}", fault: "${env:HUGE}: what it leads to is larger than 64 KiB"},
		{in: "${file:/run/none}", fault: "${file:/run/none}: there is no such file or folder"},
		{in: "${file:/run/locked}", fault: "${file:/run/locked}: may not be read: permission denied"},
		{in: "${file:/run/empty}", fault: "${file:/run/empty}: the file is empty"},
		{in: "s3cret${env:TOKEN", fault: "a reference is not closed" + form},
		{in: "s3cret${vault:TOKEN}", fault: "a reference is of no known kind" + form},
		{in: "s3cret${env:}", fault: "a reference is of no known kind" + form},
		{in: "s3cret${}", fault: "a reference is of no known kind" + form},
	} {
		got, err := Resolve(c.in, getenv, readFile)
		if err == nil && c.fault != "" || err != nil && err.Error() != c.fault || got != c.want {
			t.Errorf("Resolve(%q) = %q, %v; want %q, %s", c.in, got, err, c.want, c.fault)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error tells the value: %v", err)
		}
		if form := CheckReferences(c.in); (form != nil) != (err != nil && strings.HasPrefix(c.fault, "a reference")) {
			t.Errorf("CheckReferences(%q) = %v", c.in, form)
		}
	}
}
