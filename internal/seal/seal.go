// Package seal encrypts the secrets that the gateway has to know in clear, such as those of request signatures, before they
// are stored: whoever gets a copy of the database does not get them.
//
// It is AES-256-GCM. The key lies in a file of its own that only its owner may read; what a secret belongs to is bound to
// it, so that a sealed secret cannot be moved to another row.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Key seals and opens. It is safe for concurrent use.
type Key struct {
	id   [4]byte // begins every sealed text, to tell a wrong key from a damaged text
	aead cipher.AEAD
}

// ErrOtherKey says that a text was sealed with another key than the one at hand.
var ErrOtherKey = errors.New("it was sealed with another key; put back the key file that belongs to this database")

// Open reads the key from a file, or makes the file (0600) with a new key when it is missing and make is set.
func Open(file string, make bool) (*Key, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && make {
		return create(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key of sealed secrets: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("key of sealed secrets: %s does not hold 32 bytes in base64; put back the backup of the file", file)
	}
	return New(raw)
}

// New makes a Key of 32 bytes.
func New(raw []byte) (*Key, error) {
	if len(raw) != 32 {
		return nil, fmt.Errorf("a key of sealed secrets has 32 bytes, not %d", len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	k := &Key{aead: aead}
	sum := sha256.Sum256(append([]byte("postern seal key id\x00"), raw...))
	copy(k.id[:], sum[:])
	return k, nil
}

// create writes a new key so that it is there whole or not at all, also after a power cut.
func create(file string) (*Key, error) {
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	f, err := os.CreateTemp(filepath.Dir(file), ".seal-*")
	if err != nil {
		return nil, fmt.Errorf("key of sealed secrets: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(raw[:]) + "\n")
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("key of sealed secrets: %w", err)
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) { // a link never replaces a key that another process made
		return nil, fmt.Errorf("key of sealed secrets: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return Open(file, false)
}

// Seal encrypts a secret that belongs to owner.
func (k *Key) Seal(secret []byte, owner string) []byte {
	return k.aead.Seal(append([]byte{1}, k.id[:]...), nil, secret, []byte(owner))
}

// Unseal decrypts what Seal made for the same owner.
func (k *Key) Unseal(sealed []byte, owner string) ([]byte, error) {
	switch {
	case len(sealed) < 5 || sealed[0] != 1:
		return nil, errors.New("it is no sealed secret")
	case [4]byte(sealed[1:5]) != k.id:
		return nil, ErrOtherKey
	}
	secret, err := k.aead.Open(nil, nil, sealed[5:], []byte(owner))
	if err != nil {
		return nil, errors.New("the sealed secret is damaged, or belongs to another row")
	}
	return secret, nil
}
