package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/seal"
)

func TestSealedSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seal.key")
	if _, err := seal.Open(file, false); err == nil {
		t.Error("a key that is not there was read")
	}
	k, err := seal.Open(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v", info, err)
	}
	sealed := k.Seal([]byte("hunter2 hunter2"), "c_1")
	if bytes.Contains(sealed, []byte("hunter2")) || bytes.Equal(sealed, k.Seal([]byte("hunter2 hunter2"), "c_1")) {
		t.Error("the secret shows, or two seals are alike")
	}
	again, err := seal.Open(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Unseal(sealed, "c_1"); err != nil || string(b) != "hunter2 hunter2" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := k.Unseal(sealed, "c_2"); err == nil {
		t.Error("a secret was moved to another row")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := k.Unseal(sealed, "c_1"); err == nil || errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("damaged: %v", err)
	}
	other, _ := seal.New(make([]byte, 32))
	if _, err := other.Unseal(sealed, "c_1"); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	for _, short := range [][]byte{nil, {1}, {2, 0, 0, 0, 0, 0}} {
		if _, err := k.Unseal(short, ""); err == nil {
			t.Error("that is no sealed secret")
		}
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(file, true); err == nil {
		t.Error("a damaged key file was used or replaced")
	}
}
