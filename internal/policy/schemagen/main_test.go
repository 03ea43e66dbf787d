package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestSchemaIsCurrent(t *testing.T) {
	want, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("internal/policy/schema.json is not what the types say: run go generate ./internal/policy")
	}
}

// The comments are what people read in their editor, so they must name every word that may be written.
func TestCommentsNameEveryWord(t *testing.T) {
	comments, err := commentsIn("..")
	if err != nil {
		t.Fatal(err)
	}
	for field, list := range words {
		c, ok := comments[field]
		if !ok {
			t.Errorf("%s is no field of the document", field)
		}
		for _, w := range list {
			if !strings.Contains(c, w) {
				t.Errorf("the comment of %s does not name %q: %s", field, w, c)
			}
		}
	}
}
