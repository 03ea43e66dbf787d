package route

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/gate"
)

func services(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = on(fmt.Sprintf("GET /service-%d/orders/{id}", i))
	}
	return entries
}

func FuzzRouter(f *testing.F) {
	r, _ := Compile([]Entry{on("GET /orders/{id}"), on("GET /orders/admin"), on("* /files/{rest...}"), on("GET /a/{x}/b/{y}", keep)})
	for _, s := range []string{"/orders/7", "/orders/admin;x", "/files/a/b", "/a/%2f/b/c", "/orders/%61dmin"} {
		f.Add("a.example", s)
	}
	f.Fuzz(func(t *testing.T, host, path string) {
		x := new(gate.Exchange)
		x.Reset()
		x.Method, x.Host, x.RawPath = "GET", host, path
		v := r.Check(context.Background(), x)
		if v.Passed() != (x.Op != nil) {
			t.Fatalf("%q %q: %v, but the operation is %v", host, path, v.Outcome(), x.Op)
		}
		// No spelling of the path of admin may end at another operation.
		if v.Passed() && x.Op.Template == "/orders/{id}" {
			if name, _, _ := strings.Cut(x.Param("id"), ";"); strings.TrimRight(name, ". ") == "admin" {
				t.Fatalf("%q is routed around the rules of /orders/admin", path)
			}
		}
	})
}

// FuzzParseTemplate checks that whatever compiles can be matched, by a path made from it.
func FuzzParseTemplate(f *testing.F) {
	for _, s := range []string{"/", "/orders/{id}", "/{a}/{b...}", "/a%24b/", "/{a}{b}", "/%7Bid%7D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		parsed, fault := ParseTemplate(template, RefuseEncodedSlash)
		if fault != nil {
			if fault.Text == "" || fault.Remedy == "" {
				t.Fatalf("half a mistake in %q: %+v", template, fault)
			}
			return
		}
		r, problems := Compile([]Entry{on("GET " + template)})
		if problems != nil {
			t.Fatalf("%q: %v", template, problems)
		}
		path := template
		for _, name := range parsed.params {
			path = strings.NewReplacer("{"+name+"}", "x", "{"+name+"...}", "x/y").Replace(path)
		}
		x, v := ask(r, "GET a.example"+path)
		if !v.Passed() || x.NParams != len(parsed.params) {
			t.Fatalf("%q does not match %q: %s", template, path, v.Render(decision.ToOperator).Detail)
		}
	})
}

func BenchmarkRouter(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, problems := Compile(services(n))
			if problems != nil {
				b.Fatal(problems)
			}
			x := &gate.Exchange{Method: "GET", Host: "a.example", RawPath: fmt.Sprintf("/service-%d/orders/17", n/2)}
			b.ReportAllocs()
			for b.Loop() {
				if !r.Check(context.Background(), x).Passed() {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkCompile10000(b *testing.B) {
	entries := services(10_000)
	for b.Loop() {
		start := time.Now()
		Compile(entries)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/compile")
	}
}
