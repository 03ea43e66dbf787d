package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// system is one gateway under measurement.
type system struct {
	name    string
	address string
	cmd     *exec.Cmd
	keys    []string // accepted API keys
	idleRSS int64
}

func (s *system) pids() []int { return tree(s.cmd.Process.Pid) }

func startSystems(ctx context.Context, dir, binary string, o *origin, opt options) (all []*system, err error) {
	keys := fakeKeys(1000)
	for _, start := range []func() (*system, error){
		func() (*system, error) { return startNginx(dir, o, keys) },
		func() (*system, error) { return startHAProxy(dir, o, keys) },
		func() (*system, error) { return startStdlib(o) },
		func() (*system, error) {
			if !opt.wants(opt.systems, "Postern") {
				return nil, nil
			}
			return startPostern(ctx, dir, "Postern", binary, o)
		},
		func() (*system, error) {
			if opt.before == "" || !opt.wants(opt.systems, "Postern") {
				return nil, nil
			}
			return startPostern(ctx, dir, before, opt.before, o)
		},
	} {
		s, err := start()
		if s != nil {
			all = append(all, s)
		}
		if err != nil {
			return all, err
		}
	}
	time.Sleep(300 * time.Millisecond) // let start-up work end before memory is read
	for _, s := range all {
		s.idleRSS = residentBytes(s.pids())
	}
	return all, nil
}

func stopAll(all []*system) {
	for _, s := range all {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = s.cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = s.cmd.Process.Kill()
			<-done
		}
	}
}

// pinned starts a command on core 0.
func pinned(log string, env []string, argv ...string) (*exec.Cmd, error) {
	cmd := exec.Command("taskset", append([]string{"-c", "0"}, argv...)...)
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd, cmd.Start()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ready waits until something listens.
func ready(address, log string) error {
	for range 200 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	b, _ := os.ReadFile(log)
	return fmt.Errorf("nothing listens on %s: %s", address, b)
}

func fakeKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("postern_%032d%06d", i*7919, i)
	}
	return keys
}

func startNginx(dir string, o *origin, keys []string) (*system, error) {
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, errors.New("nginx is missing: `make bench` installs it")
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "nginx")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	var m strings.Builder
	for i, k := range keys {
		fmt.Fprintf(&m, "    %q app%d;\n", k, i)
	}
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; client_body_buffer_size 64k;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  log_format json escape=json '{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method","uri":"$request_uri","status":$status,"bytes":$body_bytes_sent,"took":$request_time,"upstream":"$upstream_addr","app":"$app"}';
  map_hash_bucket_size 128; map_hash_max_size 65536;
  map $http_x_api_key $app { default "";
%[2]s  }
  limit_req_zone $app zone=apps:10m rate=1000000r/s;
  upstream origin { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %[4]s;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location /plain/   { proxy_pass http://origin; }
    location /logged/  { access_log %[1]s/access.log json; proxy_pass http://origin; }
    location /guarded/ { if ($app = "") { return 401; } limit_req zone=apps burst=100000 nodelay; access_log %[1]s/access.log json; proxy_pass http://origin; }
    location /chat/    { proxy_buffering off; proxy_pass http://origin; }
    location /stream/  { proxy_buffering off; proxy_pass http://origin; }
    location /paced/   { proxy_buffering off; proxy_pass http://origin; }
  }
}`, home, m.String(), o.address, address)
	file := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	log := filepath.Join(home, "out")
	cmd, err := pinned(log, nil, "nginx", "-p", home, "-e", filepath.Join(home, "error.log"), "-c", file)
	if err != nil {
		return nil, err
	}
	return &system{name: "nginx", address: address, cmd: cmd, keys: keys}, ready(address, log)
}

func startHAProxy(dir string, o *origin, keys []string) (*system, error) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		return nil, errors.New("haproxy is missing: `make bench` installs it")
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "haproxy")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	keyMap := filepath.Join(home, "keys.map")
	var m strings.Builder
	for i, k := range keys {
		fmt.Fprintf(&m, "%s app%d\n", k, i)
	}
	if err := os.WriteFile(keyMap, []byte(m.String()), 0o644); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`global
  nbthread 1
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  option http-keep-alive
  http-reuse always
frontend in
  bind %s
  acl guarded path_beg /guarded/
  acl logged path_beg /logged/ /guarded/
  http-request set-log-level silent unless logged
  log global
  log-format '{"time":"%%T","client":"%%ci","request":"%%r","status":%%ST,"bytes":%%B,"took":%%Ta}'
  stick-table type string len 64 size 100k expire 60s store http_req_rate(1s)
  http-request set-var(txn.app) req.hdr(x-api-key),map_str(%s) if guarded
  http-request return status 401 if guarded !{ var(txn.app) -m found }
  http-request track-sc0 var(txn.app) if guarded
  http-request deny deny_status 429 if guarded { sc_http_req_rate(0) gt 1000000 }
  default_backend origin
backend origin
  server o %s
`, address, keyMap, o.address)
	file := filepath.Join(home, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	log := filepath.Join(home, "out")
	cmd, err := pinned(log, nil, "haproxy", "-db", "-q", "-f", file)
	if err != nil {
		return nil, err
	}
	return &system{name: "HAProxy", address: address, cmd: cmd, keys: keys}, ready(address, log)
}

func startStdlib(o *origin) (*system, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := pinned(os.DevNull, nil, self, "-stdlib-proxy", address, o.address)
	if err != nil {
		return nil, err
	}
	return &system{name: "Go net/http + ReverseProxy", address: address, cmd: cmd, keys: []string{"none"}}, ready(address, os.DevNull)
}
