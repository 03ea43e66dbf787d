package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// wafConnections is low: an inspection takes milliseconds of processor time, and a queue would only be waited in.
const wafConnections = 4

// wafLoads are benign requests: nearly all traffic is, and it is what a firewall costs.
var wafLoads = []struct{ name, method, target, media, body string }{
	{"GET with 3 arguments", "GET", "/plain/x?item=green+tea&count=3&page=2", "", ""},
	{"form of 200 B", "POST", "/plain/x", "application/x-www-form-urlencoded", "name=Ann+Smith&street=12+High+Street&city=Bristol&item=green+tea&count=3&note=" + strings.Repeat("leave+it+at+the+door+", 6)},
	{"JSON of 1 kB", "POST", "/plain/x", "application/json", orderOf(1000)},
	{"JSON of 8 kB", "POST", "/plain/x", "application/json", orderOf(8000)},
}

// orderOf is an order of about that many bytes.
func orderOf(size int) string {
	const item = `{"sku":"tea-0417","title":"Green tea, loose, 250 g","count":2,"gift":false,"note":"please wrap it in paper"}`
	return `{"customer":"c-1042","items":[` + strings.TrimSuffix(strings.Repeat(item+",", max(1, size/len(item))), ",") + `]}`
}

// compareWAF measures what it costs to inspect a benign request, by the same rules at paranoia 1: nginx with ModSecurity 3 and
// Postern, beside nginx that does not inspect.
func compareWAF(ctx context.Context, dir, binary string, o *origin, opt options) error {
	var all []*system
	defer func() { stopAll(all) }()
	plain, err := startNginx(dir, o, fakeKeys(1))
	if plain != nil {
		all = append(all, plain)
	}
	if err != nil {
		return err
	}
	security, err := startModSecurity(filepath.Join(dir, "modsecurity"), o)
	switch {
	case err == nil:
		all = append(all, security)
	case security != nil:
		stopAll([]*system{security})
		fallthrough
	default:
		fmt.Println("note: without ModSecurity:", err)
	}
	postern, err := startWAF(filepath.Join(dir, "postern-waf"), binary, o)
	if postern != nil {
		all = append(all, postern)
	}
	if err != nil {
		return err
	}
	for _, l := range wafLoads {
		request := []byte(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: bench/1\r\nAccept: */*\r\n", l.method, l.target))
		if l.body != "" {
			request = fmt.Appendf(request, "Content-Type: %s\r\nContent-Length: %d\r\n", l.media, len(l.body))
		}
		request = append(append(request, "\r\n"...), l.body...)
		results := make([]samples, len(all))
		for round := range opt.rounds + 1 {
			for i, sys := range all {
				before, err := cpuTime(sys.pids())
				if err != nil {
					return err
				}
				start := time.Now()
				m, err := load{address: sys.address, requests: [][]byte{request}}.run(ctx, wafConnections, opt.round)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", sys.name, l.name, err)
				}
				took := time.Since(start)
				after, err := cpuTime(sys.pids())
				if err != nil {
					return err
				}
				if m.requests == 0 {
					return fmt.Errorf("%s, %s: no request was answered within %s: lengthen -round", sys.name, l.name, opt.round)
				}
				if round > 0 {
					results[i].add(m, float64((after-before).Nanoseconds())/1000/float64(m.requests), 1, took)
				}
			}
		}
		fmt.Printf("\nBenign %s (%d B body)\n  %-28s %16s %14s\n", l.name, len(l.body), "system", "CPU µs/request", "requests/s")
		for i, sys := range all {
			fmt.Printf("  %-28s %16.0f %14.0f\n", sys.name, median(results[i].cpu), median(results[i].rate))
		}
	}
	fmt.Println("\nmemory, resident MB after load")
	for _, s := range all {
		fmt.Printf("  %-28s %4d\n", s.name, residentBytes(s.pids())>>20)
	}
	return nil
}

func startWAF(home, binary string, o *origin) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	management, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	file, log := filepath.Join(home, "bench.yaml"), filepath.Join(home, "out")
	document := fmt.Sprintf(`postern: 1
listeners: [{name: bench, address: %q}]
upstreams:
  origin: {targets: [{url: "http://%s"}]}
apis:
  - name: plain
    versions:
      - version: v1
        upstream: origin
        authn: {none: true}
        subscription: none
        waf: {mode: block}
        operations: [{name: call, method: "*", path: /plain/x}]
`, address, o.address)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		return nil, err
	}
	cmd, err := pinned(log, nil, binary, "serve", "--data", filepath.Join(home, "data"), "--config", file, "--admin", management)
	if err != nil {
		return nil, err
	}
	return &system{name: "Postern + CRS", address: address, cmd: cmd}, ready(address, log)
}

// modSecuritySetup is what ModSecurity's recommended configuration sets for requests.
const modSecuritySetup = `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1310720
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:'200000',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:'200001',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
Include %[1]s/crs-setup.conf
Include %[1]s/REQUEST-*.conf
`

// startModSecurity starts nginx with the module of the distribution, and the very rules that Postern has.
func startModSecurity(home string, o *origin) (*system, error) {
	const module = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("apt-get install libnginx-mod-http-modsecurity: %w", err)
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	files, err := fs.Glob(coreruleset.FS, "@owasp_crs/*")
	if err != nil {
		return nil, err
	}
	for _, name := range append(files, "@crs-setup.conf.example") {
		b, err := fs.ReadFile(coreruleset.FS, name)
		if err != nil {
			return nil, err
		}
		// ModSecurity 3.0 does not read a rule without actions in the middle of a file.
		b = bytes.ReplaceAll(b, []byte("SecRule TX:EARLY_BLOCKING \"@eq 1\"\n"), []byte("SecRule TX:EARLY_BLOCKING \"@eq 1\" \"t:none\"\n"))
		base := filepath.Base(name)
		if base == "@crs-setup.conf.example" {
			base = "crs-setup.conf"
		}
		if err := os.WriteFile(filepath.Join(home, base), b, 0o644); err != nil {
			return nil, err
		}
	}
	rules, file, log := filepath.Join(home, "main.conf"), filepath.Join(home, "nginx.conf"), filepath.Join(home, "out")
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; load_module %[4]s;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream origin { server %[2]s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %[3]s; modsecurity on; modsecurity_rules_file %[1]s/main.conf;
    location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://origin; }
  }
}`, home, o.address, address, module)
	for name, text := range map[string]string{rules: fmt.Sprintf(modSecuritySetup, home), file: conf} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	cmd, err := pinned(log, nil, "nginx", "-p", home, "-e", filepath.Join(home, "error.log"), "-c", file)
	if err != nil {
		return nil, err
	}
	return &system{name: "nginx + ModSecurity 3 + CRS", address: address, cmd: cmd}, ready(address, log)
}
