package admin

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// registerProbes mounts what machines ask. /livez and /readyz are open: orchestrators have no credentials. /metrics is
// open to this machine; from elsewhere it takes a token with the permission to read the status, because metric labels
// name APIs and upstreams.
func (s *Server) registerProbes() {
	s.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		why := s.notReady()
		w.Header().Set("Content-Type", typeJSON)
		if len(why) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = writeJSON(w, struct {
			Ready   bool     `json:"ready"`
			Reasons []string `json:"reasons,omitempty"`
		}{len(why) == 0, why})
	})
	if s.Gatherer == nil {
		return
	}
	metrics := promhttp.HandlerFor(s.Gatherer, promhttp.HandlerOpts{ErrorLog: promLog{s.Logger}, MaxRequestsInFlight: 4})
	s.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !clientAddress(r).IsLoopback() {
			if _, p := s.admitted(r, access{readStatus, platform}); p != nil {
				writeProblem(w, p)
				return
			}
		}
		metrics.ServeHTTP(w, r)
	})
}

// promLog hands the errors of a scrape to the log.
type promLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l promLog) Println(v ...any) { l.log.Error("metrics", "err", v) }
