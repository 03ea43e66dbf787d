package sqlite

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzNames(f *testing.F) {
	f.Add("a|b|c")
	f.Add(`"|","|\|[]|`)
	f.Add("\x00|\xff|é|<>&\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var want, got []string
		text := jsonNames(strings.Split(s, "|"))
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if err := (names{&got}).Scan(text); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s was read as %q (%v), want %q", text, got, err, want)
		}
	})
}
