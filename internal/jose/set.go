package jose

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// MaxKeys is how many keys a set may have. Issuers have a handful.
const MaxKeys = 100

// Set is the keys of an issuer (RFC 7517 section 5). It never changes: new keys are a new Set.
type Set struct {
	Keys    []*Key
	Skipped []string // keys that cannot be used, and why; for the operator
}

// ParseSet reads a JSON Web Key Set. Keys of other kinds and uses are passed over, as the RFC asks. So are, and listed in
// Skipped: weak and broken keys, keys with the same id as another (which of them is meant cannot be told), and shared
// secrets beside public keys (whoever mixes them invites to confuse them). A set without a usable key is an error.
func ParseSet(jwks []byte) (*Set, error) {
	o, err := strictObject(jwks)
	if err != nil {
		return nil, fmt.Errorf("the key set %w", err)
	}
	list := member(o, "keys")
	if !list.IsArray() {
		return nil, errors.New(`the key set has no list "keys"`)
	}
	s := &Set{}
	n, count := 0, map[string]int{}
	list.ForEach(func(_, jwk gjson.Result) bool {
		if n++; n > MaxKeys {
			return false
		}
		kid := member(jwk, "kid").String()
		k, err := parseKey(jwk)
		if err != nil {
			s.skip(kid, err.Error())
		} else {
			s.Keys = append(s.Keys, k)
		}
		if !errors.Is(err, errPurpose) {
			count[kid]++ // a broken key also makes its id ambiguous
		}
		return true
	})
	if n > MaxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", MaxKeys)
	}
	s.drop(count)
	if len(s.Keys) == 0 {
		return nil, fmt.Errorf("the key set has no key that can be used (%d keys%s)", n, s.firstSkipped())
	}
	return s, nil
}

func (s *Set) skip(kid, why string) {
	s.Skipped = append(s.Skipped, strconv.Quote(clip(kid))+": "+why)
}

func (s *Set) firstSkipped() string {
	if len(s.Skipped) == 0 {
		return ""
	}
	return "; " + s.Skipped[0]
}

// drop takes out what is ambiguous.
func (s *Set) drop(count map[string]int) {
	public := false
	for _, k := range s.Keys {
		public = public || k.Public != nil
	}
	s.Keys = slices.DeleteFunc(s.Keys, func(k *Key) bool {
		switch {
		case public && k.Public == nil:
			s.skip(k.ID, "it is a shared secret beside public keys")
		case k.ID != "" && count[k.ID] > 1:
			s.skip(k.ID, "another key of the set has the same kid")
		default:
			return false
		}
		return true
	})
}

// maxTried bounds how many keys are tried on a token that names none.
const maxTried = 4

// Find returns the keys that may have signed a token: the one that has its kid or, when it names none, those that may be
// used with its algorithm, at most four. A kid is compared as a whole and never used for anything else.
func (s *Set) Find(kid, alg string) (found []*Key) {
	for _, k := range s.Keys {
		if kid != "" && k.ID != kid || !k.May(alg) {
			continue
		}
		if found = append(found, k); len(found) == maxTried {
			break
		}
	}
	return found
}

// Has reports whether the key with that thumbprint is in the set.
func (s *Set) Has(thumbprint *[32]byte) bool {
	for _, k := range s.Keys {
		if k.Thumbprint == *thumbprint {
			return true
		}
	}
	return false
}

// IDs lists the ids of the keys, for explanations.
func (s *Set) IDs() []string {
	ids := make([]string, len(s.Keys))
	for i, k := range s.Keys {
		if ids[i] = k.ID; k.ID == "" {
			ids[i] = "(a key without kid)"
		}
	}
	return ids
}
