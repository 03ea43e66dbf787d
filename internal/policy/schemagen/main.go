// Command schemagen writes the JSON Schema of the configuration document from its Go types and their comments, so that
// editors complete and explain fields in the very words of the source.
//
// Usage: schemagen DIRECTORY OUTPUT, where DIRECTORY holds the package policy.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"postern/internal/policy"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: schemagen DIRECTORY OUTPUT")
		os.Exit(2)
	}
	b, err := generate(os.Args[1])
	if err == nil {
		err = os.WriteFile(os.Args[2], b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

// words lists the values of fields that take one of a few. A test checks that each is named in the field's comment.
var words = map[string][]string{
	"Document.ForwardedBy":           {"x-forwarded-for", "forwarded"},
	"Limit.By":                       {"application", "key", "tenant", "address", "everyone"},
	"Limit.OnUnavailable":            {"refuse", "pass"},
	"Quota.Per":                      {"second", "minute", "hour", "day", "week", "month"},
	"Listener.Engine":                {"fast", "standard"},
	"ListenerTLS.MinVersion":         {"1.2", "1.3"},
	"ListenerTLS.ClientCertificates": {"none", "request", "require"},
	"Upstream.Protocol":              {"auto", "http1", "h2", "h2c"},
	"Upstream.Balance":               {"round_robin", "least_request", "consistent_hash"},
	"API.Kind":                       {"http", "llm"},
	"Version.State":                  {"draft", "published", "deprecated", "retired"},
	"Version.EncodedSlashes":         {"refuse", "keep"},
	"Version.Subscription":           {"required", "none"},
	"LLM.Dialect":                    {"openai"},
	"LLM.Unpriced":                   {"refuse", "flag"},
	"CORS.Enforce":                   {"writes", "all", "none"},
	"CSRF.Unproven":                  {"refuse", "pass"},
	"CSRFToken.Kind":                 {"double_submit", "session"},
	"CSRFToken.SameSite":             {"lax", "strict"},
	"Authz.Require":                  {"permission", "permit"},
	"BodyField.Type":                 {"string", "long", "bool", "strings"},
	"Owner.From":                     {"path", "body", "claim", "http"},
	"WAF.Mode":                       {"off", "detect", "block"},
	"WAF.Profile":                    {"default", "llm"},
	"WAFBody.Over":                   {"refuse", "pass"},
	"WAFBody.Other":                  {"refuse", "pass"},
	"WAFTime.Over":                   {"refuse", "pass"},
}

// generate builds the schema from the source in dir.
func generate(dir string) ([]byte, error) {
	comments, err := commentsIn(dir)
	if err != nil {
		return nil, err
	}
	g := generator{comments: comments, defs: object{}}
	root := g.structure(reflect.TypeFor[policy.Document]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Postern configuration"
	root["$defs"] = g.defs
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type object = map[string]any

type generator struct {
	comments map[string]string // by "Type" and "Type.Field"
	defs     object
}

func (g *generator) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		key := t.Name() + "." + f.Name
		s := g.value(f.Type)
		if c := g.comments[key]; c != "" {
			s["description"] = c
		}
		if w := words[key]; w != nil {
			s["enum"] = w
		}
		if key == "Document.Format" {
			s = object{"const": policy.Format, "description": g.comments[key]}
		}
		properties[name] = s
		if opts == "" {
			required = append(required, name)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if c := g.comments[t.Name()]; c != "" {
		s["description"] = c
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (g *generator) value(t reflect.Type) object {
	if t == reflect.TypeFor[policy.Duration]() {
		return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, "examples": []string{"500ms", "10s", "1m30s"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.value(t.Elem())
	case reflect.Struct:
		if g.defs[t.Name()] == nil {
			g.defs[t.Name()] = object{} // before its fields, should a type ever contain itself
			g.defs[t.Name()] = g.structure(t)
		}
		return object{"$ref": "#/$defs/" + t.Name()}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.value(t.Elem())}
	case reflect.Slice:
		return object{"type": "array", "items": g.value(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	panic("schemagen: no schema for " + t.String())
}

// commentsIn reads the comments of every file of a package but its tests.
func commentsIn(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		comments, err := commentsOf(file)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, comments)
	}
	return all, nil
}

// commentsOf reads the comments of the struct types in a file, as sentences on one line.
func commentsOf(file string) (map[string]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			out[t.Name.Name] = sentence(decl.Doc.Text())
			for _, field := range s.Fields.List {
				said := []string{sentence(field.Doc.Text()), sentence(field.Comment.Text())}
				said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
				for _, name := range field.Names {
					out[t.Name.Name+"."+name.Name] = strings.Join(said, " ")
				}
			}
		}
	}
	return out, nil
}

func sentence(s string) string { return strings.Join(strings.Fields(s), " ") }
