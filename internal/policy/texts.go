package policy

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// maxText bounds a file of policies.
const maxText = 1 << 20

// readTexts reads the files that policies name, so that the document is whole without them: what is stored, compared and
// replayed later has the text it was applied with.
func (d *Document) readTexts() error {
	var problems Problems
	read := func(list []Policies, at string) {
		for i := range list {
			p, pointer := &list[i], at+"/"+strconv.Itoa(i)+"/file"
			if p.File == "" {
				continue
			}
			if p.Cedar != "" {
				problems = append(problems, Problem{Pointer: pointer, Message: fmt.Sprintf("the policies %s have both a text and a file", quoted(p.Name)), Remedy: "remove one of the two"})
				continue
			}
			name := p.File
			if from, _, _ := d.Locate(pointer); from != "" && !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(from), name)
			}
			text, err := readBounded(name, maxText)
			if err != nil {
				problems = append(problems, Problem{Pointer: pointer, Message: quoted(p.File) + ": " + readFault(err), Remedy: "check the path and its permissions"})
				continue
			}
			p.Cedar = string(text)
		}
	}
	authz := func(a *Authz, at string) {
		if a != nil {
			read(a.Policies, at+"/authz/policies")
		}
	}
	read(d.Policies, "/policies")
	for i := range d.APIs {
		for j := range d.APIs[i].Versions {
			v, at := &d.APIs[i].Versions[j], fmt.Sprintf("/apis/%d/versions/%d", i, j)
			authz(v.Authz, at)
			for k := range v.Operations {
				authz(v.Operations[k].Authz, at+"/operations/"+strconv.Itoa(k))
			}
		}
	}
	d.LocateAll(problems)
	return problems.Err()
}
