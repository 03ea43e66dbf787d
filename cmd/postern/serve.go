package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// defaultManagement is where the management API listens unless told otherwise: reachable from this machine only.
const defaultManagement = "127.0.0.1:8081"

// serveFlags are what `postern serve` and `postern demo` share.
type serveFlags struct {
	data         string
	config       string
	demo         []byte // the demo's document; nil outside the demo
	admin        string
	adminHosts   []string
	public       bool
	accessLog    string
	logLevel     string
	recordsKeep  time.Duration
	recordsMost  int64
	drainTimeout time.Duration
}

func (f *serveFlags) register(c *cobra.Command, data string) {
	c.Flags().StringVar(&f.data, "data", data, "folder for configuration, directory, records and certificates")
	c.Flags().StringVar(&f.admin, "admin", defaultManagement, "address of the management API")
	c.Flags().StringSliceVar(&f.adminHosts, "admin-host", nil, "names the management API may be called by, besides localhost and IP addresses")
	c.Flags().BoolVar(&f.public, "admin-public", false, "allow --admin to be an address that other machines reach, in plain HTTP")
	c.Flags().StringVar(&f.accessLog, "access-log", "", "also write one JSON line a call to this file, or to standard output with -")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	c.Flags().DurationVar(&f.recordsKeep, "records-keep", 7*24*time.Hour, "how long call records are kept")
	c.Flags().Int64Var(&f.recordsMost, "records-most", 5_000_000, "how many call records are kept")
	c.Flags().DurationVar(&f.drainTimeout, "drain", 30*time.Second, "how long a stopping gateway waits for requests in progress")
}

func newServeCommand(a *app) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and its management API",
		Long: `Run the gateway and its management API.

The configuration lives in the data folder and is changed with "postern apply" or the management API. With --config the
file is applied at the start when it differs from what is stored, and again on SIGHUP. The first start prints a one-time
bootstrap token, with which the first administrator is made.

SIGTERM and SIGINT stop gracefully: requests in progress are answered first. A second signal stops at once.`,
		Example: `  postern serve --data /var/lib/postern
  postern serve --data ./data --config postern.yaml --admin 127.0.0.1:8081`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.serve(c.Context(), f, nil)
		},
	}
	f.register(c, "data")
	c.Flags().StringVar(&f.config, "config", "", "configuration file or folder to apply at the start and on SIGHUP")
	return c
}

// serve runs a node until a signal or the context ends it. started is called once everything listens.
func (a *app) serve(ctx context.Context, f serveFlags, started func(context.Context, *node) error) error {
	if err := f.check(); err != nil {
		return usage(err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger, err := f.logger(a.stderr)
	if err != nil {
		return usage(err)
	}
	n, err := openNode(ctx, f, logger, a.stdout)
	if err != nil {
		return err
	}
	err = n.run(ctx, f, a.stdout, started)
	logger.Info("stopping: requests in progress are answered first", "for_at_most", f.drainTimeout)
	stop() // a second signal ends the process the default way, should draining hang
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drainTimeout)
	defer cancel()
	if err = errors.Join(err, n.close(drain)); err == nil {
		logger.Info("stopped")
	}
	return err
}

// check refuses a management listener that other machines reach, unless that was asked for.
func (f *serveFlags) check() error {
	host, _, err := net.SplitHostPort(f.admin)
	if err != nil {
		return fmt.Errorf("--admin %s: %w; write host:port, such as 127.0.0.1:8081", f.admin, err)
	}
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) && !f.public {
		return fmt.Errorf("--admin %s can be reached by other machines, in plain HTTP; put a TLS proxy in front and add --admin-public, or use 127.0.0.1", f.admin)
	}
	if f.config != "" {
		if _, err := os.Stat(f.config); err != nil {
			return fmt.Errorf("--config: %w", err)
		}
	}
	return nil
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s: choose debug, info, warn or error", f.logLevel)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
}

// openAccessLog returns nil when none is wanted.
func (f *serveFlags) openAccessLog(stdout io.Writer) (io.Writer, func() error, error) {
	switch f.accessLog {
	case "":
		return nil, func() error { return nil }, nil
	case "-":
		return stdout, func() error { return nil }, nil
	}
	file, err := os.OpenFile(filepath.Clean(f.accessLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, nil, fmt.Errorf("--access-log: %w", err)
	}
	return file, file.Close, nil
}
