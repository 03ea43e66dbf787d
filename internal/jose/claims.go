package jose

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Claims is the claims set of a token (RFC 7519 section 4).
type Claims struct{ o gjson.Result }

// ParseClaims reads the payload of a token as claims. Members that occur twice make it malformed.
func ParseClaims(payload []byte) (Claims, error) {
	o, err := strictObject(payload)
	if err != nil {
		return Claims{}, malformed("the payload " + err.Error())
	}
	return Claims{o}, nil
}

// find looks a claim up: a member of exactly that name ("https://example.com/roles"), or else a path of names joined by
// dots ("realm_access.roles").
func (c Claims) find(name string) gjson.Result {
	if !c.o.IsObject() {
		return gjson.Result{}
	}
	if v := member(c.o, name); v.Exists() || !strings.Contains(name, ".") {
		return v
	}
	v := c.o
	for part := range strings.SplitSeq(name, ".") {
		if !v.IsObject() {
			return gjson.Result{}
		}
		v = member(v, part)
	}
	return v
}

// Has reports whether the claim is there and not null.
func (c Claims) Has(name string) bool {
	v := c.find(name)
	return v.Exists() && v.Type != gjson.Null
}

// Text returns a claim that is a string, and "" when there is none.
func (c Claims) Text(name string) string {
	if v := c.find(name); v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// Texts returns the values of a claim that is a string, a number, a boolean or a list of these.
func (c Claims) Texts(name string) (out []string) {
	v := c.find(name)
	if v.IsArray() {
		for _, e := range v.Array() {
			if s, ok := scalar(e); ok {
				out = append(out, s)
			}
		}
		return out
	}
	if s, ok := scalar(v); ok {
		out = append(out, s)
	}
	return out
}

func scalar(v gjson.Result) (string, bool) {
	switch v.Type {
	case gjson.String:
		return v.Str, true
	case gjson.Number:
		return v.Raw, true
	case gjson.True:
		return "true", true
	case gjson.False:
		return "false", true
	}
	return "", false
}

// Words returns a claim that is a list of words: an array, or one string with spaces between (RFC 6749 section 3.3).
func (c Claims) Words(name string) (out []string) {
	for _, s := range c.Texts(name) {
		out = append(out, strings.Fields(s)...)
	}
	return out
}

// Time returns a claim that is a NumericDate. there says that the claim exists, ok that it is a moment between the years
// 1970 and 9999.
func (c Claims) Time(name string) (at time.Time, there, ok bool) {
	v := c.find(name)
	if !v.Exists() {
		return time.Time{}, false, false
	}
	if v.Type != gjson.Number {
		return time.Time{}, true, false
	}
	seconds, err := strconv.ParseFloat(v.Raw, 64)
	if err != nil || !(seconds >= 0 && seconds <= 253402300799) {
		return time.Time{}, true, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), true, true
}
