package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"

	"postern/internal/policy"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(policy.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Load(text, &v); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// An editor that knows the schema must not mark what the gateway accepts.
func TestSchemaAcceptsEveryScenario(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("../../../scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range a.Files {
			if part.Name != "config.yaml" {
				continue
			}
			if err := valid(t, s, part.Data); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

// And it must mark what Parse refuses for its form.
func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		"roles: {}\n",
		"postern: 2\n",
		"postern: 1\nrolls: {}\n",
		"postern: 1\napis: [{name: a}]\n",
		"postern: 1\nportal_url: [a]\n",
		"postern: 1\nlisteners: [{name: a, address: \":80\", timeouts: {idle: 30}}]\n",
		"postern: 1\nlisteners: [{name: a, address: \":80\", timeouts: {idle: soon}}]\n",
		"postern: 1\nlisteners: [{name: a, address: \":80\", h2c: \"true\"}]\n",
		"postern: 1\nlisteners: [{name: a, address: \":80\", limits: {header_bytes: 1.5}}]\n",
		"postern: 1\napis: [{name: a, versions: [{version: 1.10}]}]\n",
		"postern: 1\napis: [{name: a, versions: [{version: v1, ip: {allow: null}}]}]\n",
	} {
		if err := valid(t, s, []byte(text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
		if _, err := policy.Parse("f", []byte(text)); err == nil {
			t.Errorf("Parse accepts\n%s", text)
		}
	}
	if err := valid(t, s, []byte("postern: 1\napis: [{name: a, versions: [{version: v1, state: publised}]}]\n")); err == nil || !strings.Contains(err.Error(), "published") {
		t.Errorf("a word that does not exist: %v", err)
	}
}
