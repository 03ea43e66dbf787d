package route

import (
	"strings"
	"testing"
)

func TestNormaliseHost(t *testing.T) {
	for _, c := range []struct{ raw, name, port, fault string }{
		{"", "", "", ""},
		{"api.example.com", "api.example.com", "", ""},
		{"API.Example.COM:8080", "api.example.com", "8080", ""},
		{"api.example.com.", "api.example.com", "", ""},
		{"api.example.com.:443", "api.example.com", "443", ""},
		{"localhost", "localhost", "", ""},
		{"orders_api", "orders_api", "", ""},
		{"127.0.0.1:80", "127.0.0.1", "80", ""},
		{"[::1]", "::1", "", ""},
		{"[2001:DB8:0:0::1]:443", "2001:db8::1", "443", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "", ""},

		{".", "", "", "empty label"},
		{"a..b", "", "", "empty label"},
		{"a.b..", "", "", "empty label"},
		{".a", "", "", "empty label"},
		{":80", "", "", "empty label"},
		{"a:", "", "", "port"},
		{"a:b", "", "", "port"},
		{"a:65536", "", "", "port"},
		{"a:-1", "", "", "port"},
		{"a:80:80", "", "", "port"},
		{"::1", "", "", "port"},
		{"user@a", "", "", "user information"},
		{"user:pw@a", "", "", "port"},
		{"a%2eb", "", "", "percent"},
		{"a b", "", "", "white space"},
		{"a\x00b", "", "", "white space"},
		{"bücher.example", "", "", "beyond ASCII"},
		{"a/b", "", "", "'/'"},
		{"a~b", "", "", "'~'"},
		{"*", "", "", "'*'"},
		{"[::1", "", "", "IPv6"},
		{"[]", "", "", "IPv6"},
		{"[127.0.0.1]", "", "", "IPv6"},
		{"[fe80::1%eth0]", "", "", "IPv6"},
		{"[::1]x", "", "", "port"},
		{"[::1]:", "", "", "port"},
		{strings.Repeat("a", 64), "", "", "63"},
		{strings.Repeat("a.", 127) + "a", "", "", "253"},
	} {
		name, port, fault := NormaliseHost(c.raw)
		text := ""
		if fault != nil {
			text = fault.Text
		}
		if name != c.name || port != c.port || (fault == nil) != (c.fault == "") || !strings.Contains(text, c.fault) {
			t.Errorf("NormaliseHost(%q) = %q, %q, %q; want %q, %q, %q", c.raw, name, port, text, c.name, c.port, c.fault)
		}
	}
}

func TestParseHostPattern(t *testing.T) {
	for in, want := range map[string]string{
		"API.example.com": "api.example.com",
		"*.Example.com.":  "*.example.com",
		"[::1]":           "::1",
	} {
		if got, fault := ParseHostPattern(in); got != want || fault != nil {
			t.Errorf("ParseHostPattern(%q) = %q, %v; want %q", in, got, fault, want)
		}
	}
	for _, in := range []string{"", "*", "*.", "a.*.b", "*a.example", "a.example:80", "*.*.example", "::1", "*.[::1]", "https://a", "ü.example"} {
		if got, fault := ParseHostPattern(in); fault == nil || fault.Remedy == "" {
			t.Errorf("ParseHostPattern(%q) = %q, want a mistake with a remedy", in, got)
		}
	}
}

func FuzzNormaliseHost(f *testing.F) {
	for _, s := range []string{"a.example:80", "[::1]:443", "A.", "a..", "u@h", "[::ffff:1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, port, fault := NormaliseHost(raw)
		if fault != nil {
			return
		}
		if strings.ContainsAny(name, "@/\\% \x00[]") || strings.HasSuffix(name, ".") || name != strings.ToLower(name) || strings.Contains(name, "..") {
			t.Fatalf("NormaliseHost(%q) = %q", raw, name)
		}
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if port != "" {
			name += ":" + port
		}
		if n, p, fault := NormaliseHost(name); fault != nil || p != port || n != strings.Trim(strings.TrimSuffix(name, ":"+port), "[]") {
			t.Fatalf("NormaliseHost(%q) = %q, %q, %v: not stable after %q", name, n, p, fault, raw)
		}
	})
}
