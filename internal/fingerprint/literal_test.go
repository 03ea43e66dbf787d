package fingerprint

import (
	"strings"
	"testing"
)

// What the shadow rules out, the expression does not match: on the words of all signatures, phrases and odd letters.
func TestNeedlesRuleOutNothingThatMatches(t *testing.T) {
	k := loaded()
	texts := []string{"", "the toKen has expired", "ſcope insufficient", "403", "Token\u212aey"}
	for _, s := range k.signatures {
		for _, list := range [][]string{s.Page, s.Body, s.Log} {
			for _, m := range list {
				texts = append(texts, strings.TrimPrefix(m, "re:"))
			}
		}
		texts = append(texts, s.Remedy, s.Note)
	}
	for _, p := range k.phrases {
		texts = append(texts, p.Re)
	}
	without := 0
	for _, p := range k.phrases {
		if p.needle == nil {
			without++
		}
		for _, text := range texts {
			if p.re.MatchString(text) && !p.needle.mayMatch(asciiLower(text)) {
				t.Errorf("%q matches %q, and its pieces %q do not", p.Re, text, p.needle)
			}
		}
	}
	if without > len(k.phrases)/10 {
		t.Errorf("%d of %d phrases have no pieces to look for", without, len(k.phrases))
	}
}

func BenchmarkLogLine(b *testing.B) {
	const line = `203.0.113.9 - - [22/Nov/2026:08:55:26 +0000] "POST /xff/orders?page=7 HTTP/1.1" 403 153 "https://shop.example/cart" "Mozilla/5.0 (X11; Linux x86_64)"`
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		Logged(line)
		ReadLog(line)
	}
}
