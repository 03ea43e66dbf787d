package crs

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/coreruleset/ftw-tests-schema/v2/types"
	"github.com/coreruleset/go-ftw/v2/test"
)

// load reads the tests that come with the rule set: those to be judged, how many are about answers, and how many are
// excluded by name.
func load(t *testing.T) (judged []types.Test, answers, named int) {
	t.Helper()
	used := map[string]bool{}
	err := fs.WalkDir(tests.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		b, err := fs.ReadFile(tests.FS, path)
		if err != nil {
			return err
		}
		file, err := test.GetTestFromYaml(b, path)
		if err != nil {
			return err
		}
		for _, c := range file.Tests {
			switch {
			case strings.HasPrefix(path, "RESPONSE-"):
				answers++
			case excluded[c.IdString()] != "":
				used[c.IdString()] = true
				named++
			default:
				judged = append(judged, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range excluded {
		if !used[id] {
			t.Errorf("%s is excluded and does not exist", id)
		}
	}
	return judged, answers, named
}
