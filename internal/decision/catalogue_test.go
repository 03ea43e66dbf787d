package decision

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// gates in the order of the chain (DESIGN section 7); policy holds the stand-ins.
var gates = []string{"route", "ip", "origin", "waf", "authn", "token", "account", "subscription", "authz", "limit", "schema", "guardrail", "upstream", "policy"}

func TestEveryReasonIsComplete(t *testing.T) {
	shape := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	seen := map[string]bool{}
	for _, r := range Catalogue() {
		if !shape.MatchString(r.Code) {
			t.Errorf("%q is no code of the form gate.what", r.Code)
		}
		if seen[r.Code] {
			t.Errorf("%s is used twice", r.Code)
		}
		seen[r.Code] = true
		if !slices.Contains(gates, r.Gate) {
			t.Errorf("%s belongs to the unknown gate %q: a new gate is listed in gates, at the top of this file", r.Code, r.Gate)
		}
		if r.Status != 0 && (r.Status < 400 || r.Status > 599) || r.Status == 0 && r != UpstreamRefused {
			t.Errorf("%s has the status %d", r.Code, r.Status)
		}
		if r.Title == "" || r.Detail == "" || r.Means == "" || len(r.Advice) == 0 {
			t.Errorf("%s lacks a title, a detail, a meaning or a remedy", r.Code)
		}
		if r.Public > ToAnyone {
			t.Errorf("%s is told to nobody that exists", r.Code)
		}
		callers, operators := 0, 0
		for _, a := range r.Advice {
			if a.Who == ByOperator {
				operators++
			} else {
				callers++
			}
		}
		if callers == 0 || operators == 0 {
			t.Errorf("%s has remedies for %d callers or owners and %d operators: each side needs one", r.Code, callers, operators)
		}
	}
}

func TestCatalogueIsInTheOrderOfTheGates(t *testing.T) {
	last := 0
	for _, r := range Catalogue() {
		i := slices.Index(gates, r.Gate)
		if i < last {
			if i < 0 {
				continue // told by TestEveryReasonIsComplete
			}
			t.Errorf("%s of gate %s stands behind gate %s", r.Code, r.Gate, gates[last])
		}
		last = max(last, i)
	}
}

// A reason that is declared but not listed would have no page and could not be found by its code.
func TestCatalogueHasEveryDeclaredReason(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != "Reason" {
				return true
			}
			for _, e := range lit.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok || kv.Key.(*ast.Ident).Name != "Code" {
					continue
				}
				code, err := strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared[code] = file
			}
			return true
		})
	}
	if len(declared) < 60 {
		t.Fatalf("only %d reasons found in the source: the test looks in the wrong place", len(declared))
	}
	for code, file := range declared {
		if ByCode(code) == nil {
			t.Errorf("%s of %s is not in the catalogue", code, file)
		}
	}
	if len(declared) != len(Catalogue()) {
		t.Errorf("%d reasons declared, %d in the catalogue", len(declared), len(Catalogue()))
	}
}

// Codes are published: what programs compare must not change by accident. A new reason is added here on purpose.
func TestPublishedCodes(t *testing.T) {
	want := strings.Fields(`
		route.not_found:404 route.method_not_allowed:405 api.retired:410 request.malformed:400 request.too_large:413
		request.header_too_large:431 request.timeout:408 request.expectation:417 request.misdirected:421
		ip.denied:403 ip.not_allowed:403 ip.unclear:400
		origin.preflight_denied:403 origin.wrong_origin:403 origin.unproven:403
		origin.cors_denied:403 origin.cross_site:403 origin.csrf_missing:403 origin.csrf_invalid:403 origin.csrf_expired:403
		waf.blocked:403 waf.uninspected:403 waf.unavailable:503
		authn.credential_missing:401 authn.credential_misplaced:401 authn.credential_rejected:401 authn.key_expired:401
		authn.key_revoked:401 authn.token_expired:401 authn.token_not_yet_valid:401 authn.token_signature:401
		authn.token_issuer:401 authn.token_audience:401 authn.unavailable:503
		authn.token_algorithm:401 authn.token_key_unknown:401 authn.token_claim:401 authn.application_unknown:403
		authn.credential_expired:401 authn.credential_revoked:401 authn.signature_invalid:401 authn.signature_time:401
		authn.signature_coverage:401 authn.digest_mismatch:401 authn.certificate_untrusted:401 authn.certificate_expired:401
		authn.too_many_failures:429 token.grant_unsupported:400 token.scope_refused:400
		account.tenant_suspended:403 account.application_suspended:403 account.unavailable:503
		subscription.missing:403 subscription.pending:403 subscription.rejected:403 subscription.suspended:403
		subscription.revoked:403 subscription.expired:403 subscription.unavailable:503
		authz.scope_insufficient:403 authz.permission_missing:403 authz.not_owner:403 authz.forbidden:403 authz.unavailable:503
		authz.not_permitted:403 authz.input_unusable:400
		limit.rate:429 limit.concurrency:429 limit.quota:429 limit.budget:402 limit.unavailable:503
		schema.media_type:415 schema.body:422 schema.parameter:400
		guardrail.model_unknown:404 guardrail.model_not_allowed:403 guardrail.blocked:403 guardrail.unpriced:403
		guardrail.unreadable:400
		upstream.none_healthy:503 upstream.circuit_open:503 upstream.unreachable:502 upstream.bad_answer:502
		upstream.timeout:504 upstream.tls:502 upstream.dns:502 upstream.credential:503 upstream.refused:0
		upstream.client_gone:499
		policy.refused:403 policy.unexplained:500 policy.fault:500`)
	var got []string
	for _, r := range Catalogue() {
		got = append(got, r.Code+":"+strconv.Itoa(r.Status))
	}
	for _, code := range want {
		if !slices.Contains(got, code) {
			t.Errorf("%s was published and is gone or changed", code)
		}
	}
	for _, code := range got {
		if !slices.Contains(want, code) {
			t.Errorf("%s is new: add it to this list and to docs/reasons (go generate ./...)", code)
		}
	}
}

func TestByCode(t *testing.T) {
	if ByCode("authz.permission_missing") != PermissionMissing || ByCode("authz.nothing") != nil || ByCode("") != nil {
		t.Error("ByCode finds the wrong reason")
	}
	Catalogue()[0] = nil
	if Catalogue()[0] == nil {
		t.Error("the catalogue can be changed from outside")
	}
}

// Failures of what a gate depends on are no denials.
func TestDependencyFailuresAreNoDenials(t *testing.T) {
	for _, r := range Catalogue() {
		if strings.HasSuffix(r.Code, ".unavailable") && (r.Status != 503 || r.Public != ToAnyone) {
			t.Errorf("%s: status %d, told to %s; want 503, told to anyone", r.Code, r.Status, r.Public)
		}
	}
}
