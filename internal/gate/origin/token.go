package origin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

// token is how tokens are made and checked.
//
// Of kind double_submit a token is random, and counts when it equals its cookie. The name of the cookie begins with __Host-,
// so that neither a subdomain nor plain http can plant one (https://www.rfc-editor.org/rfc/rfc6265bis section 4.1.3.2).
//
// Of kind session it is
//
//	1.<key id>.<seconds since 1970>.<nonce>.<HMAC-SHA256 of all that and the session cookie>
//
// so that it counts for one session and for some time, whatever became of its own cookie meanwhile. As long as there is
// no session (a page to sign in), it must equal its cookie too.
type token struct {
	header, field, cookie string
	place                 string // for sentences
	attributes            string // of Set-Cookie
	session               string // name of the session cookie; empty: double_submit
	keys                  []key  // the first signs
	keyless               string // why there are no keys; empty: there are
	lifetime              time.Duration
}

// key signs tokens. MACs are pooled, since one costs more to make than to use.
type key struct {
	id   string
	macs *sync.Pool
}

func newKey(id string, secret []byte) key {
	return key{id, &sync.Pool{New: func() any { return &signer{mac: hmac.New(sha256.New, secret)} }}}
}

// signer is a MAC with room for its result.
type signer struct {
	mac  hash.Hash
	text []byte
	sum  []byte
}

const (
	nonceBytes = 24
	nonceText  = 32 // in base64
	macText    = 43
	maxKeyID   = 32
	// maxToken is the longest token: its version, a key id, a time, a nonce and a MAC, with dots.
	maxToken = 2 + maxKeyID + 1 + 20 + 1 + nonceText + 1 + macText
	// skew is how far in the future a token may be issued: by the clock of another node.
	skew = 2 * time.Minute
	// form is how much of a form is searched for the token.
	form = 64 << 10
)

var text = base64.RawURLEncoding

// sign appends the MAC of a token's signed part and a session to b.
func (k *key) sign(b []byte, signed, session string) []byte {
	s := k.macs.Get().(*signer)
	defer k.macs.Put(s)
	s.mac.Reset()
	// The signed part has no line break, so where it ends is no question.
	s.text = append(append(append(append(s.text[:0], "postern csrf\n"...), signed...), '\n'), session...)
	s.mac.Write(s.text)
	clear(s.text)
	s.sum = s.mac.Sum(s.sum[:0])
	return text.AppendEncode(b, s.sum)
}

// issue puts a token into the answer when the caller has none, or none that will do for long.
func (t *token) issue(x *gate.Exchange) {
	if x.Env.Dry || t.keyless != "" {
		return
	}
	have, n := cookie(x.Header, t.cookie)
	if t.session == "" {
		if n == 1 && len(have) == nonceText && isNonce(have) {
			return
		}
		x.Browser.Cookie = t.cookie + "=" + nonce() + t.attributes
		return
	}
	session, _ := cookie(x.Header, t.session)
	if n == 1 {
		p, ok := parse(have)
		if ok && p.key == t.keys[0].id && t.signed(p, session) && x.Env.Now().Sub(p.issued) < t.lifetime/2 {
			return
		}
	}
	signed := "1." + t.keys[0].id + "." + strconv.FormatInt(x.Env.Now().Unix(), 10) + "." + nonce()
	x.Browser.Cookie = t.cookie + "=" + signed + "." + string(t.keys[0].sign(nil, signed, session)) + t.attributes
}

func nonce() string {
	var b [nonceBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return text.EncodeToString(b[:])
}

func isNonce(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

// parts is a token of kind session, taken apart.
type parts struct {
	key, signed, mac string
	issued           time.Time
}

// parse takes a token of kind session apart. It says nothing of whether it is genuine.
func parse(s string) (p parts, ok bool) {
	if len(s) > maxToken {
		return p, false
	}
	version, rest, _ := strings.Cut(s, ".")
	id, rest, _ := strings.Cut(rest, ".")
	seconds, rest, _ := strings.Cut(rest, ".")
	random, mac, _ := strings.Cut(rest, ".")
	if version != "1" || !isNonce(id) || len(random) != nonceText || !isNonce(random) || len(mac) != macText || !isNonce(mac) ||
		len(seconds) == 0 || len(seconds) > 12 || strings.Trim(seconds, "0123456789") != "" || len(seconds) > 1 && seconds[0] == '0' {
		return p, false
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	return parts{key: id, signed: s[:len(s)-len(mac)-1], mac: mac, issued: time.Unix(n, 0)}, err == nil
}

// signed reports whether one of the keys signed the token for this session.
func (t *token) signed(p parts, session string) bool {
	for i := range t.keys {
		if k := &t.keys[i]; k.id == p.key {
			var buf [macText]byte
			return subtle.ConstantTimeCompare(k.sign(buf[:0], p.signed, session), []byte(p.mac)) == 1
		}
	}
	return false
}

// check judges the token of a request that may change something.
func (t *token) check(ctx context.Context, x *gate.Exchange, rule *decision.Rule) decision.Verdict {
	sent, v, ok := t.sent(ctx, x, rule)
	if !ok {
		return v
	}
	own, cookies := cookie(x.Header, t.cookie)
	session, sessions := "", 0
	if t.session != "" {
		session, sessions = cookie(x.Header, t.session)
	}
	switch {
	case sent == decision.Redacted || x.Header.Get("Cookie") == decision.Redacted:
		return decision.Abstain(decision.CSRFInvalid, rule,
			decision.Fact{Name: "token", Want: "the token and the cookies themselves: records keep them out", Public: decision.ToAnyone})
	case cookies > 1 || sessions > 1:
		return t.invalid(rule, "one of the cookies came twice: somebody else may have set the other")
	case session == "" && cookies == 0:
		return t.missing(rule, "the cookie "+t.cookie+" did not come", true)
	case session == "" && subtle.ConstantTimeCompare([]byte(sent), []byte(own)) != 1:
		return t.invalid(rule, "it is not the one in the cookie "+t.cookie)
	case t.session == "":
		if len(sent) != nonceText || !isNonce(sent) {
			return t.invalid(rule, "the cookie "+t.cookie+" holds no token of this gateway")
		}
		return decision.Pass(rule)
	}
	return t.verify(x, rule, sent, session)
}

// verify judges a signed token.
func (t *token) verify(x *gate.Exchange, rule *decision.Rule, sent, session string) decision.Verdict {
	if t.keyless != "" {
		return decision.Abstain(decision.CSRFInvalid, rule, decision.Fact{Name: "keys", Want: "the signing keys: " + t.keyless, Public: decision.ToAnyone})
	}
	p, ok := parse(sent)
	if !ok {
		return t.invalid(rule, "it does not have the form of a token")
	}
	if !t.signed(p, session) {
		known := make([]string, len(t.keys))
		for i, k := range t.keys {
			known[i] = k.id
		}
		if !contains(known, p.key) {
			return t.invalid(rule, "it names the key "+p.key+", and the keys are "+strings.Join(known, ", "))
		}
		return t.invalid(rule, "its signature does not fit the cookie "+t.session+" of this request: it was made for another session, or changed")
	}
	now, until := x.Env.Now(), p.issued.Add(t.lifetime)
	switch {
	case p.issued.After(now.Add(skew)):
		return t.invalid(rule, "it was issued at "+p.issued.UTC().Format(time.RFC3339)+", in the future: compare the clocks of the nodes")
	case !now.Before(until):
		return decision.Refuse(decision.CSRFExpired, rule,
			decision.Fact{Name: "expired", Want: until.UTC().Format(time.RFC3339), Got: now.UTC().Format(time.RFC3339), Public: decision.ToAnyone},
			decision.Fact{Name: "lifetime", Want: t.lifetime.String()})
	}
	return decision.Pass(rule)
}

func (t *token) missing(rule *decision.Rule, absent string, sent bool) decision.Verdict {
	return decision.Refuse(decision.CSRFMissing, rule,
		decision.Fact{Name: "place", Want: t.place, Public: decision.ToAnyone},
		decision.Fact{Name: "absent", Want: absent, Public: decision.ToAnyone},
		decision.Fact{Name: "cookie", Want: t.cookie, Public: decision.ToAnyone},
		decision.SecretFact("token", sent))
}

func (t *token) invalid(rule *decision.Rule, fault string) decision.Verdict {
	return decision.Refuse(decision.CSRFInvalid, rule,
		decision.Fact{Name: "fault", Want: fault},
		decision.SecretFact("token", true))
}
