package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id, the second choice of OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
const (
	argonMemory = 19456 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonKey    = 32
	argonSalt   = 16
)

// errPHC says that a stored hash is not one of ours.
var errPHC = errors.New("not an argon2id hash in PHC form")

// passwords hashes and verifies. At most slots hashes are computed at once and at most queue wait, so that signing in can
// exhaust neither memory (19 MiB each) nor goroutines.
type passwords struct {
	slots   chan struct{}
	waiting atomic.Int32
	queue   int32
	decoy   string // the hash that unknown accounts are verified against, so that they take as long as known ones
}

func newPasswords(slots, queue int) *passwords {
	p := &passwords{slots: make(chan struct{}, slots), queue: int32(queue)}
	var salt [argonSalt]byte
	_, _ = rand.Read(salt[:])
	p.decoy = encodePHC(salt[:], make([]byte, argonKey)) // the hash of no password anyone could find
	return p
}

// errBusy says that too many sign-ins wait already.
var errBusy = problem(503, "busy", "Too many sign-ins at once.", "Try again in a few seconds.").retryAfter(2 * time.Second)

func (p *passwords) enter(ctx context.Context) error {
	if p.waiting.Add(1) > p.queue {
		p.waiting.Add(-1)
		return errBusy
	}
	defer p.waiting.Add(-1)
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *passwords) leave() { <-p.slots }

// hash returns the PHC string of a new password.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	var salt [argonSalt]byte
	_, _ = rand.Read(salt[:])
	return encodePHC(salt[:], argon2.IDKey([]byte(password), salt[:], argonTime, argonMemory, argonLanes, argonKey)), nil
}

// verify reports whether a password fits a hash. An empty hash is an account that does not exist or has no password: it
// takes as long and never fits.
func (p *passwords) verify(ctx context.Context, password, phc string) (bool, error) {
	known := phc != ""
	if !known {
		phc = p.decoy
	}
	memory, passes, lanes, salt, want, err := decodePHC(phc)
	if err != nil {
		return false, err
	}
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

func encodePHC(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// decodePHC reads an argon2id hash, also one made with other parameters, within bounds that a corrupt row cannot abuse.
func decodePHC(phc string) (memory, passes uint32, lanes uint8, salt, key []byte, err error) {
	part := strings.Split(phc, "$")
	var version int
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return 0, 0, 0, nil, nil, errPHC
	}
	if _, err := fmt.Sscanf(part[2], "v=%d", &version); err != nil || version != argon2.Version {
		return 0, 0, 0, nil, nil, errPHC
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return 0, 0, 0, nil, nil, errPHC
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(part[4])
	key, err2 := base64.RawStdEncoding.DecodeString(part[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 ||
		memory < 8 || memory > 256<<10 || passes < 1 || passes > 16 || lanes < 1 || lanes > 8 {
		return 0, 0, 0, nil, nil, errPHC
	}
	return memory, passes, lanes, salt, key, nil
}

// checkPassword says why a password cannot be taken; nil when it can. Length is what counts (NIST SP 800-63B): there are
// no rules about kinds of characters.
func checkPassword(password, email string) *Problem {
	switch {
	case !utf8.ValidString(password):
		return invalid("/password", "The password is not valid UTF-8.", "Use other characters.")
	case utf8.RuneCountInString(password) < 12:
		return invalid("/password", "The password is shorter than 12 characters.", "Take a longer one; four random words do well.")
	case len(password) > 256:
		return invalid("/password", "The password is longer than 256 bytes.", "Take a shorter one.")
	case email != "" && strings.EqualFold(password, email):
		return invalid("/password", "The password is the email address.", "Take another one.")
	case strings.Trim(password, password[:1]) == "":
		return invalid("/password", "The password is one character repeated.", "Take another one.")
	}
	return nil
}
