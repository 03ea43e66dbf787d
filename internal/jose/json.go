package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth bounds the nesting of headers and claims.
const maxDepth = 16

// strictObject parses a JSON object of which no member, at any depth, occurs twice. RATIONALE: parsers disagree about which
// of two members counts, and whoever checks a token must not read another one than whoever uses it (RFC 7519 section 4
// allows to refuse them).
func strictObject(b []byte) (gjson.Result, error) {
	if !utf8.Valid(b) {
		return gjson.Result{}, errors.New("is not UTF-8")
	}
	if !json.Valid(b) {
		return gjson.Result{}, errors.New("is not JSON")
	}
	r := gjson.ParseBytes(b)
	if !r.IsObject() {
		return gjson.Result{}, errors.New("is no JSON object")
	}
	return r, unambiguous(r, 0)
}

func unambiguous(r gjson.Result, depth int) (err error) {
	if depth > maxDepth {
		return fmt.Errorf("is nested more than %d levels deep", maxDepth)
	}
	object := r.IsObject()
	seen := map[string]struct{}{}
	r.ForEach(func(k, v gjson.Result) bool {
		if object {
			if _, twice := seen[k.Str]; twice {
				err = errors.New("has a member that occurs twice")
				return false
			}
			seen[k.Str] = struct{}{}
		}
		if v.IsObject() || v.IsArray() {
			err = unambiguous(v, depth+1)
		}
		return err == nil
	})
	return err
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decode is base64url without padding (RFC 7515 section 2), and only that: no line breaks, and no bits left over.
func decode(s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' { // Go's decoder passes over them
			return nil, errors.New("is no base64url")
		}
	}
	b, err := strictBase64.DecodeString(s)
	if err != nil {
		return nil, errors.New("is no base64url")
	}
	return b, nil
}

// member returns the member of an object with exactly that name.
func member(o gjson.Result, name string) (found gjson.Result) {
	o.ForEach(func(k, v gjson.Result) bool {
		if k.Str == name {
			found = v
			return false
		}
		return true
	})
	return found
}
