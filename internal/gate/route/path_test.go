package route

import (
	"net/url"
	"strings"
	"testing"
)

func TestNormalisePath(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"/", "/"},
		{"/orders", "/orders"},
		{"/orders/", "/orders/"},
		{"/Orders/7", "/Orders/7"},
		{"/.well-known/acme", "/.well-known/acme"},
		{"/a/b.", "/a/b."},
		{"/a/...b", "/a/...b"},
		{"/a/..b", "/a/..b"},
		{"/v1/models/x:predict", "/v1/models/x:predict"},
		{"/a;v=1/b;w=2", "/a;v=1/b;w=2"},
		{"/a%3bv", "/a%3Bv"},
		{"/%6Frders", "/orders"},
		{"/%6f%72ders/%41-%5F%7e", "/orders/A-_~"},
		{"/file%2ejson", "/file.json"},
		{"/a%20b", "/a%20b"},
		{"/caf%c3%a9", "/caf%C3%A9"},
		{"/%E2%82%AC", "/%E2%82%AC"},
		{"/%f0%9f%98%80", "/%F0%9F%98%80"},
		{"/100%25", "/100%25"},
		{"/100%25of", "/100%25of"},
		{"/a|b[c]", "/a%7Cb%5Bc%5D"},
		{"/%7c%5b%5d", "/%7C%5B%5D"},
		{"/%24all", "/%24all"},
		{"/a%3fb%23c", "/a%3Fb%23c"},
	} {
		got, fault := Normalise(c.raw, RefuseEncodedSlash)
		if fault != nil {
			t.Errorf("Normalise(%q) is refused: %s", c.raw, fault.Text)
		} else if got != c.want {
			t.Errorf("Normalise(%q) = %q, want %q", c.raw, got, c.want)
		}
	}
}

func TestNormaliseRefuses(t *testing.T) {
	for _, c := range []struct{ raw, fault string }{
		{"", "does not start"},
		{"orders", "does not start"},
		{"*", "does not start"},
		{"http://a/b", "does not start"},
		{"//", "empty segment"},
		{"//a", "empty segment"},
		{"/a//b", "empty segment"},
		{"/a//", "empty segment"},
		{"/.", "dot segment"},
		{"/..", "dot segment"},
		{"/a/../b", "dot segment"},
		{"/a/./b", "dot segment"},
		{"/a/..", "dot segment"},
		{"/a/%2e%2e/b", "dot segment"},
		{"/a/%2E./b", "dot segment"},
		{"/a/.%2e", "dot segment"},
		{"/%2e", "dot segment"},
		{"/a/..;/b", "dot segment"},
		{"/a/..;x=1/b", "dot segment"},
		{"/a/.;/b", "dot segment"},
		{"/a/%2e%2e;x/b", "dot segment"},
		{"/a/..%3Bx/b", "dot segment"},
		{"/a/..%20/b", "dot segment"},
		{"/a/...", "dot segment"},
		{"/a/. .", "white space"},
		{"/a/.%20./b", "dot segment"},
		{"/a/%20/b", "spaces but no name"},
		{"/;/admin", "no name"},
		{"/a/;x=1", "no name"},
		{"/a/%3bx/b", "no name"},
		{"/a%2Fb", "encoded slash"},
		{"/a%2fb", "encoded slash"},
		{"/a%5Cb", "backslash"},
		{"/a%5cb", "backslash"},
		{`/a\b`, "backslash"},
		{`/..\admin`, "backslash"},
		{"/%", "two hexadecimal digits"},
		{"/%4", "two hexadecimal digits"},
		{"/%zz", "two hexadecimal digits"},
		{"/%u002e", "two hexadecimal digits"},
		{"/a%00b", "NUL"},
		{"/a\x00b", "NUL"},
		{"/a%0ab", "control character"},
		{"/a%0D%0Ab", "control character"},
		{"/a%7f", "control character"},
		{"/a%c2%85", "control character"},
		{"/a\tb", "control character"},
		{"/a b", "white space"},
		{"/caf\xc3\xa9", "beyond ASCII"},
		{"/a\xff", "beyond ASCII"},
		{"/%ff", "UTF-8"},
		{"/%c0%af", "UTF-8"},
		{"/%c0%ae%c0%ae/", "UTF-8"},
		{"/%e0%80%af", "UTF-8"},
		{"/%ed%a0%80", "UTF-8"},
		{"/%c3", "UTF-8"},
		{"/%c3x", "UTF-8"},
		{"/%252e%252e/", "encoded twice"},
		{"/a%252fb", "encoded twice"},
		{"/a%25%32%66b", "encoded twice"},
		{"/%2561dmin", "encoded twice"},
		{"/%25252e", "encoded twice"},
		{"/a?b", "question mark"},
		{"/a#b", "fragment"},
		{`/a"b`, `'"'`},
		{"/a<b", "'<'"},
		{"/{id}", "'{'"},
	} {
		got, fault := Normalise(c.raw, RefuseEncodedSlash)
		switch {
		case fault == nil:
			t.Errorf("Normalise(%q) = %q, want a refusal", c.raw, got)
		case !strings.Contains(fault.Text, c.fault):
			t.Errorf("Normalise(%q) is refused because %q, want %q in it", c.raw, fault.Text, c.fault)
		case fault.Remedy == "":
			t.Errorf("Normalise(%q) is refused without a remedy", c.raw)
		}
	}
}

func TestNormaliseKeepsEncodedSlashes(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"/group%2fproject/files", "/group%2Fproject/files"},
		{"/a%2Fb%2Fc", "/a%2Fb%2Fc"},
		{"/a%2f..%2fb", ""},
		{"/a%2f%2e%2e", ""},
		{"/..%2fb", ""},
		{"/a%2f%2fb", ""},
		{"/%2fb", ""},
		{"/a/%2fb", ""},
		{"/a%2f/b", ""},
		{"/a%2f", ""},
		{"/a%2f;x", ""},
		{"/a%252fb", ""},
	} {
		got, fault := Normalise(c.raw, KeepEncodedSlash)
		if got != c.want || (fault == nil) != (c.want != "") {
			t.Errorf("Normalise(%q, keep) = %q, %v; want %q", c.raw, got, fault, c.want)
		}
	}
}

func TestNormaliseAllocatesNothingForNormalPaths(t *testing.T) {
	for _, p := range []string{"/", "/orders/7/items;v=1/caf%C3%A9/", "/.well-known/x"} {
		if n := testing.AllocsPerRun(100, func() { Normalise(p, RefuseEncodedSlash) }); n != 0 {
			t.Errorf("Normalise(%q) allocates %v times", p, n)
		}
	}
}

// FuzzNormalise checks what the policy promises, with the standard library as the second reader.
func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/", "/a%2fb", "/a;x/b", "/%252e", "/a%25%32%65", "/caf%c3%a9", "/a|b", "/..;/", "/%3b", "//"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, raw string, keep bool) {
		slashes := RefuseEncodedSlash
		if keep {
			slashes = KeepEncodedSlash
		}
		path, fault := Normalise(raw, slashes)
		if fault != nil {
			if path != "" || fault.Text == "" || fault.Remedy == "" {
				t.Fatalf("half a refusal of %q: %q, %+v", raw, path, fault)
			}
			for _, c := range fault.Text + fault.Remedy {
				if c < 0x20 || c > 0x7e {
					t.Fatalf("the fault of %q repeats the byte %q", raw, c)
				}
			}
			return
		}
		if again, fault := Normalise(path, slashes); fault != nil || again != path {
			t.Fatalf("%q is normalised to %q and then to %q (%v)", raw, path, again, fault)
		}
		before, err := url.PathUnescape(raw)
		if err != nil {
			t.Fatalf("%q is accepted, but cannot be decoded: %v", raw, err)
		}
		once, err := url.PathUnescape(path)
		if err != nil || once != before {
			t.Fatalf("%q means %q, but its normal form %q means %q (%v)", raw, before, path, once, err)
		}
		for _, reading := range []string{path, once} {
			if !keep && strings.Count(reading, "/") != strings.Count(path, "/") {
				t.Fatalf("%q and %q have different segments", path, reading)
			}
			if strings.ContainsAny(reading, "\\\x00\r\n") || strings.Contains(reading, "//") {
				t.Fatalf("%q is read as %q", path, reading)
			}
			for segment := range strings.SplitSeq(reading, "/") {
				if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
					t.Fatalf("%q has the dot segment %q", path, segment)
				}
			}
		}
		if twice, err := url.PathUnescape(once); err == nil && twice != once {
			t.Fatalf("%q decodes twice: to %q and %q", path, once, twice)
		}
	})
}

func BenchmarkNormalise(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Normalise("/orders/v1/customers/4711/orders/17", RefuseEncodedSlash)
	}
}
