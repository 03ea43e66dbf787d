package directory

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

func newKey(t testing.TB) string {
	t.Helper()
	text, err := NewKeyText(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestNewKeyTextHasThePublishedForm(t *testing.T) {
	form := regexp.MustCompile(`\bpostern_[0-9A-Za-z]{38}\b`)
	seen := map[string]bool{}
	for range 1000 {
		text := newKey(t)
		if form.FindString(text) != text {
			t.Fatalf("%q is not found whole by the published expression", MaskKey(text))
		}
		if !LooksLikeKey(text) || FindKey(text) != 0 {
			t.Fatal("a new key is not recognised")
		}
		if seen[text] {
			t.Fatal("the same key twice")
		}
		seen[text] = true
	}
}

func TestKeyTextIsFixedForAGivenSource(t *testing.T) {
	// Pinned, because issued keys must be recognised by every later release. Bytes from 248 are skipped.
	src := bytes.NewReader(append([]byte{255, 248, 0, 61, 62, 10, 36}, make([]byte, 100)...))
	text, err := NewKeyText(src)
	if err != nil {
		t.Fatal(err)
	}
	if want := "postern_0z0Aa00000000000000000000000000031Jn4a"; text != want {
		t.Fatalf("got %s, want %s", text, want)
	}
}

func TestNewKeyTextNeedsRandomness(t *testing.T) {
	for name, src := range map[string]io.Reader{
		"empty":  strings.NewReader(""),
		"short":  strings.NewReader("short"),
		"broken": iotest.ErrReader(errors.New("no entropy")),
	} {
		if text, err := NewKeyText(src); err == nil || text != "" {
			t.Errorf("%s source: got a key", name)
		}
	}
	onlyHigh := bytes.Repeat([]byte{255}, 4096)
	if text, err := NewKeyText(bytes.NewReader(onlyHigh)); err == nil || text != "" {
		t.Error("a source without usable bytes: got a key")
	}
}

func TestEveryMistypedCharacterIsNoticed(t *testing.T) {
	text := newKey(t)
	for i := range text {
		b := []byte(text)
		for _, c := range []byte(base62) {
			if b[i] = c; c != text[i] && LooksLikeKey(string(b)) {
				t.Fatalf("a wrong character at %d went unnoticed", i)
			}
		}
	}
	for i := range len(text) {
		if LooksLikeKey(text[:i]) {
			t.Fatalf("a key cut at %d looks like one", i)
		}
	}
	for i := len(KeyPrefix); i < len(text)-1; i++ {
		b := []byte(text)
		if b[i] == b[i+1] {
			continue
		}
		if b[i], b[i+1] = b[i+1], b[i]; LooksLikeKey(string(b)) {
			t.Fatalf("two swapped characters at %d went unnoticed", i)
		}
	}
}

func TestFindKey(t *testing.T) {
	k := newKey(t)
	for _, c := range []struct {
		name, in string
		want     int
	}{
		{"alone", k, 0},
		{"in quotes", `"` + k + `"`, 1},
		{"as a parameter", "a=b&api_key=" + k + "&c=d", 12},
		{"after a false start", "postern_x " + k, 10},
		{"twice the prefix", "postern_" + k, 8},
		{"within a longer word", "x" + k, -1},
		{"with a longer tail", k + "x", -1},
		{"cut short", k[:45], -1},
		{"prefix only", "postern_", -1},
		{"none", "nothing here", -1},
		{"empty", "", -1},
	} {
		if got := FindKey(c.in); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestMaskKeyShowsFourCharactersAtMost(t *testing.T) {
	k := newKey(t)
	if got, want := MaskKey(k), k[:12]+"…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, s := range []string{"", "secret", k[:45], k + "x", strings.Repeat("s", 10000)} {
		if got := MaskKey(s); got != "…" {
			t.Errorf("text that is no key: got %q", got)
		}
	}
}

func TestKeyTextAllocatesNothing(t *testing.T) {
	k := newKey(t)
	long := strings.Repeat(k, 500)
	var sum [32]byte
	ok := true
	if n := testing.AllocsPerRun(100, func() {
		sum = HashKey(k)
		ok = LooksLikeKey(k) && !LooksLikeKey(long) && FindKey(long) < 0
		_ = HashKey(long)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !ok || sum != sha256.Sum256([]byte(k)) {
		t.Error("wrong answers")
	}
}

func FuzzKeyText(f *testing.F) {
	f.Add("postern_0z0Aa00000000000000000000000000031Jn4a")
	f.Add("postern_postern_postern_postern_postern_postern_")
	f.Add("\"postern_\x00")
	form := regexp.MustCompile(`^postern_[0-9A-Za-z]{38}$`)
	f.Fuzz(func(t *testing.T, s string) {
		if HasKeyForm(s) != form.MatchString(s) {
			t.Fatal("the form and the published expression differ")
		}
		if LooksLikeKey(s) && !HasKeyForm(s) {
			t.Fatal("a key without the form of one")
		}
		if i := FindKey(s); i >= 0 && !HasKeyForm(s[i:i+keyTextBytes]) {
			t.Fatal("found what is no key")
		}
		if m := MaskKey(s); len(m) > len(KeyPrefix)+4+len("…") {
			t.Fatal("the mask shows too much")
		}
	})
}
