package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// MaxBytes is how large a document may be, all its files together.
const MaxBytes = 64 << 20

// Format is the format of the document that this version reads, written as "postern: 1".
const Format = 1

// Parse reads a document in YAML 1.2 or JSON. Several YAML documents in one source ("---" between them) are parts of one
// whole, as the files of a folder are. The name stands in front of positions; it may be empty.
//
// Parse is strict: unknown fields, fields without a value, duplicate names and wrong types are mistakes, and the error
// is Problems with all of them. Anchors, aliases and merge keys ("<<") may be used. What Parse cannot see (does a name
// exist, do two APIs collide) is snapshot.Compile's to say; LocateAll then finds the lines.
func Parse(name string, src []byte) (*Document, error) {
	return parseAll([]source{{name, src}})
}

// ParseFiles reads files and folders as one document. Of a folder, every *.yaml, *.yml and *.json directly in it is read, in
// the order of their names; hidden files are not. Lists of the parts are joined; something with one name in two parts is a
// mistake that names both places. The error is Problems, also for files that cannot be read.
func ParseFiles(paths ...string) (*Document, error) {
	var sources []source
	var problems Problems
	total := int64(0)
	for _, p := range paths {
		files, err := filesOf(p)
		if err != nil {
			problems = append(problems, Problem{File: p, Message: readFault(err), Remedy: "check the path and its permissions"})
			continue
		}
		if len(files) == 0 {
			problems = append(problems, Problem{File: p, Message: "the folder has no *.yaml, *.yml or *.json file", Remedy: "name a file, or put one there"})
		}
		for _, f := range files {
			src, err := readBounded(f, MaxBytes-total)
			if err != nil {
				problems = append(problems, Problem{File: f, Message: readFault(err), Remedy: "check the path and its permissions"})
				continue
			}
			total += int64(len(src))
			sources = append(sources, source{f, src})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	doc, err := parseAll(sources)
	if err == nil {
		err = doc.readTexts()
	}
	if err != nil {
		return nil, err
	}
	return doc, nil
}

func filesOf(p string) ([]string, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{p}, nil
	}
	entries, err := os.ReadDir(p)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		// Stat follows links: a mounted ConfigMap is a folder of links.
		if info, err := os.Stat(filepath.Join(p, e.Name())); err != nil || !info.IsDir() {
			files = append(files, filepath.Join(p, e.Name()))
		}
	}
	return files, nil
}

var errTooLarge = fmt.Errorf("larger than %d MiB", MaxBytes>>20)

func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(src)) > most {
		err = errTooLarge
	}
	return src, err
}

func readFault(err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file or folder"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read: permission denied"
	case errors.As(err, &pe):
		return "cannot be read: " + pe.Err.Error()
	}
	return "cannot be read: " + err.Error()
}

// source is one text that a document was written in.
type source struct {
	name string
	text []byte
}

// part is one YAML document of a source, decoded.
type part struct {
	source
	tree *yaml.Node // the root value
	nth  int        // which document of the source, from 0
	doc  *Document
}

func parseAll(sources []source) (*Document, error) {
	var problems Problems
	var parts []part
	for _, s := range sources {
		text, bad := clean(s)
		if bad != nil {
			problems = append(problems, *bad)
			continue
		}
		trees, bad := trees(source{s.name, text})
		if bad != nil {
			problems = append(problems, *bad)
			continue
		}
		d := decoder{file: s.name}
		for i, t := range trees {
			if t.Kind == yaml.ScalarNode && t.ShortTag() == "!!null" {
				continue // "---" with nothing behind it
			}
			doc := new(Document)
			d.value(t, t, &path{}, 0, reflectElem(doc))
			parts = append(parts, part{source{s.name, text}, t, i, doc})
		}
		d.problems.Sort()
		problems = append(problems, d.problems...)
		if d.more > 0 {
			problems = append(problems, Problem{File: s.name, Message: fmt.Sprintf("and %d more problems", d.more)})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if len(parts) == 0 {
		p := Problem{Message: "the document is empty", Remedy: fmt.Sprintf("begin with the line `postern: %d`", Format)}
		if len(sources) == 1 {
			p.File = sources[0].name
		}
		return nil, Problems{p}
	}
	return merge(parts)
}

var yamlDirective = regexp.MustCompile(`\A(?:[ \t]*#[^\n]*\n|[ \t]*\r?\n)*%YAML[ \t]+1\.2[ \t]*\r?\n`)

// clean checks that a source is text and smooths what the YAML library does not read: a byte order mark, the directive
// "%YAML 1.2", and JSON's tabs and surrogate pairs. Lines and columns stay what they were.
func clean(s source) ([]byte, *Problem) {
	b := s.text
	fail := func(offset int, message, remedy string) ([]byte, *Problem) {
		line, column := position(b, offset)
		return nil, &Problem{File: s.name, Message: message, Remedy: remedy, Line: line, Column: column}
	}
	if len(b) > MaxBytes {
		return nil, &Problem{File: s.name, Message: "the document is " + errTooLarge.Error()}
	}
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
		return fail(0, "the document is written in UTF-16", "save it as UTF-8")
	}
	b = bytes.Clone(bytes.TrimPrefix(b, []byte("\ufeff")))
	t := bytes.TrimLeft(b, " \t\r\n")
	isJSON := len(t) > 0 && (t[0] == '{' || t[0] == '[') && json.Valid(b)
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		switch {
		case r == utf8.RuneError && n == 1:
			return fail(i, "this is not UTF-8 text", "save the document as UTF-8")
		case unreadable(r) && !isJSON:
			return fail(i, fmt.Sprintf("the control character U+%04X is not allowed here", r), "remove it, or write it as an escape in double quotes")
		}
		i += n
	}
	if isJSON {
		return cleanJSON(b), nil
	}
	if m := yamlDirective.FindIndex(b); m != nil {
		b[bytes.LastIndexByte(b[:m[1]], '%')] = '#'
	}
	return b, nil
}

// unreadable reports whether YAML does not allow a character to stand in a document. JSON does allow some of them.
func unreadable(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r <= 0x9f && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

var surrogatePair = regexp.MustCompile(`\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)

// cleanJSON rewrites valid JSON where YAML differs. What is unreadable can only be in a string, where an escape may stand.
func cleanJSON(b []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(b))
	for _, r := range string(b) {
		switch {
		case r == '\t': // between tokens: JSON strings have none
			out.WriteByte(' ')
		case unreadable(r) || r == 0x85 || r == 0x2028 || r == 0x2029: // the last three are line breaks to YAML 1.1
			fmt.Fprintf(&out, `\u%04X`, r)
		default:
			out.WriteRune(r)
		}
	}
	return surrogatePair.ReplaceAllFunc(out.Bytes(), func(m []byte) []byte {
		if m[1] == '\\' {
			return m
		}
		var s string
		if err := json.Unmarshal(slices.Concat([]byte(`"`), m, []byte(`"`)), &s); err != nil {
			return m
		}
		return fmt.Appendf(nil, `\U%08X`, []rune(s)[0]) // an escape still: the character itself may need one
	})
}

// trees reads the YAML documents of a source.
func trees(s source) (all []*yaml.Node, bad *Problem) {
	fail := func(line, column int, message string) ([]*yaml.Node, *Problem) {
		return nil, &Problem{File: s.name, Message: "this is not valid YAML: " + message, Line: line, Column: column,
			Remedy: "check the indentation, quotes and brackets from here upwards"}
	}
	// The library has panicked on hostile input before; a document must not take the process down.
	defer func() {
		if r := recover(); r != nil {
			all, bad = fail(0, 0, "it cannot be read")
		}
	}()
	l, err := yaml.NewLoader(bytes.NewReader(s.text))
	if err != nil {
		return fail(0, 0, "it cannot be read")
	}
	for {
		var n yaml.Node
		err := l.Load(&n)
		if err == io.EOF {
			return all, nil
		}
		if le := (*yaml.LoadError)(nil); errors.As(err, &le) {
			return fail(le.Mark.Line, le.Mark.Column, le.Message)
		}
		if err != nil {
			return fail(0, 0, err.Error())
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			all = append(all, n.Content[0])
		}
		if len(all) > 10_000 {
			return nil, &Problem{File: s.name, Message: "there are more than 10,000 documents in one file", Remedy: "split the file"}
		}
	}
}

func position(b []byte, offset int) (line, column int) {
	line = 1 + bytes.Count(b[:offset], []byte("\n"))
	return line, 1 + utf8.RuneCount(b[bytes.LastIndexByte(b[:offset], '\n')+1:offset])
}
