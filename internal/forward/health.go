package forward

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

const defaultInterval = 10 * time.Second

// watch asks one target regularly whether it is well, until ctx ends. The first check comes at once, the others at the
// interval give or take a tenth, so that many gateways do not ask in step.
//
// A target counts as well until it has failed often enough: a gateway that starts must not refuse everything until the first
// checks are through.
func (p *pool) watch(ctx context.Context, t *target) {
	interval := p.check.Interval.Or(defaultInterval)
	client := p.checkClient()
	defer client.CloseIdleConnections()
	up, down := 0, 0
	for {
		err := p.ask(ctx, client, t)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			up, down = up+1, 0
		} else {
			up, down = 0, down+1
		}
		p.conclude(t, up, down, err)
		wait := interval - interval/10 + rand.N(interval/5+1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// conclude turns successes or failures in a row into health.
func (p *pool) conclude(t *target, up, down int, err error) {
	well, ill := p.check.Healthy, p.check.Unhealthy
	if well <= 0 {
		well = 2
	}
	if ill <= 0 {
		ill = 3
	}
	switch sick := t.sick.Load(); {
	case !sick && down >= ill:
		t.sick.Store(true)
		t.idle.drop()
		p.log.Warn("upstream target is unhealthy", "upstream", p.name, "target", t.name, "checks_failed", down, "error", err)
	case sick && up >= well:
		t.sick.Store(false)
		t.ejected.Store(0)
		t.failures.Store(0)
		p.log.Info("upstream target is healthy again", "upstream", p.name, "target", t.name)
	}
}

// checkClient speaks what the pool speaks, over connections of its own: a check has to find out whether one can connect.
func (p *pool) checkClient() *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(p.protocol == "auto" || p.protocol == "http1")
	protocols.SetHTTP2(p.protocol == "auto" || p.protocol == "h2")
	protocols.SetUnencryptedHTTP2(p.protocol == "h2c")
	tr := &http.Transport{Protocols: &protocols, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10}
	if p.tls != nil {
		tr.TLSClientConfig = p.tls.Clone()
	}
	return &http.Client{
		Transport:     tr,
		Timeout:       p.check.Timeout.Or(2 * time.Second),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask makes one check. nil means that the target is well.
func (p *pool) ask(ctx context.Context, client *http.Client, t *target) error {
	scheme := "http://"
	if t.https {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+t.addr+t.prefix+p.check.Path, nil)
	if err != nil {
		return err
	}
	req.Host = t.host
	if p.host != "" && p.host != "target" && p.host != "pass" {
		req.Host = p.host
	}
	req.Header.Set("User-Agent", "postern-health")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()                                    //nolint:errcheck // what matters was read
	io.Copy(io.Discard, io.LimitReader(resp.Body, bodyBuffer)) //nolint:errcheck // as above
	if accepted := p.check.Status; len(accepted) > 0 && !slices.Contains(accepted, resp.StatusCode) ||
		len(accepted) == 0 && (resp.StatusCode < 200 || resp.StatusCode > 399) {
		return fmt.Errorf("the check answered %d", resp.StatusCode)
	}
	return nil
}
