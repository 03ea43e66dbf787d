package header

import (
	"slices"
	"testing"
)

func TestEqualFoldIsASCIIOnly(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"Host", "hOST", true}, {"", "", true}, {"a", "", false},
		{"k", "K", true}, {"\u212a", "k", false}, // Kelvin sign
		{"@", "`", false}, {"[", "{", false}, {"X-1", "x-1", true}, {"X-1", "X-\x11", false},
	} {
		if got := EqualFold(c.a, c.b); got != c.want {
			t.Errorf("EqualFold(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestListKeepsOrderAndDuplicates(t *testing.T) {
	l := List{{"A", "1"}, {"b", "2"}, {"a", "3"}}
	if v, n := l.Lookup("a"); v != "1" || n != 2 {
		t.Errorf("Lookup = %q, %d", v, n)
	}
	if got := l.Values(nil, "A"); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("Values = %v", got)
	}
	l.Set("A", "9")
	if want := (List{{"A", "9"}, {"b", "2"}}); !slices.Equal(l, want) {
		t.Errorf("after Set: %v", l)
	}
	l.Set("c", "x")
	l.Del("B")
	if want := (List{{"A", "9"}, {"c", "x"}}); !slices.Equal(l, want) {
		t.Errorf("after Del: %v", l)
	}
}

func TestTokensAndHopByHop(t *testing.T) {
	l := List{{"Connection", "close, X-Secret"}, {"connection", "\tFoo ,"}}
	for token, want := range map[string]bool{"close": true, "x-secret": true, "foo": true, "secret": false, "": true} {
		if got := l.HasToken("Connection", token); token != "" && got != want {
			t.Errorf("HasToken(%q) = %v", token, got)
		}
	}
	for _, n := range []string{"te", "Upgrade", "trailer", "CONNECTION", "keep-alive", "proxy-connection", "transfer-encoding", "proxy-authenticate", "Proxy-Authorization"} {
		if !HopByHop(n) {
			t.Errorf("%s is hop-by-hop", n)
		}
	}
	if HopByHop("Authorization") || HopByHop("Content-Length") {
		t.Error("end-to-end field taken for hop-by-hop")
	}
}
