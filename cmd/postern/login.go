package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/admin"
)

// login is what `postern login` stores: one gateway and a token for it.
type login struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

// loginFile is where a login is stored: $XDG_CONFIG_HOME/postern/login.json, by default under ~/.config.
func (a *app) loginFile() (string, error) {
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := a.getenv("HOME")
		if home == "" {
			home = a.getenv("USERPROFILE")
		}
		if home == "" {
			return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a login; set POSTERN_TOKEN instead")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "postern", "login.json"), nil
}

// savedLogin reads the stored login; the zero login when there is none.
func (a *app) savedLogin() (l login, err error) {
	name, err := a.loginFile()
	if err != nil {
		return l, nil // no place, so nothing stored; login itself reports it
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("stored login: %w", err)
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return l, fmt.Errorf("stored login %s is damaged: %w; sign in again with `postern login`", name, err)
	}
	if st, err := os.Stat(name); err == nil && st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		fmt.Fprintf(a.stderr, "postern: others can read %s; run chmod 600 on it\n", name)
	}
	return l, nil
}

// saveLogin stores a login so that a crash leaves the old one or the new one.
func (a *app) saveLogin(l login) error {
	name, err := a.loginFile()
	if err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".login-*") // mode 0600
	if err != nil {
		return fmt.Errorf("store the login: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is left of the attempt
		return fmt.Errorf("store the login: %w", err)
	}
	return nil
}

func newLoginCommand(a *app) *cobra.Command {
	var email string
	c := &cobra.Command{
		Use:   "login",
		Short: "Sign in to a gateway and store the session",
		Long: `Sign in to the management API of a gateway. With --email the password is asked for; without it, a token: an API token, or
the bootstrap token that the first start printed. Both are read from standard input, never from the command line, where
other users of the machine could see them.

Programs need no login: they set POSTERN_TOKEN and POSTERN_ADDRESS.`,
		Example: `  postern login --email ada@example.com
  postern login --address https://gateway.example.com < token-file`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.login(c.Context(), email) },
	}
	c.Flags().StringVar(&email, "email", "", "sign in as this user, with the password")
	return a.remote(c)
}

func (a *app) login(ctx context.Context, email string) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	api.token = ""
	prompt := "Token: "
	if email != "" {
		prompt = "Password of " + email + ": "
	}
	secret, err := a.readSecret(prompt)
	if err != nil {
		return err
	}
	in := admin.SessionRequest{Email: email, Password: secret, As: "bearer"}
	var me admin.Me
	switch {
	case email == "" && !strings.HasPrefix(secret, "postern_boot_"):
		api.token = secret
		if _, err := api.do(ctx, call{method: "GET", path: "/me"}, &me); err != nil {
			return err
		}
	default:
		if email == "" {
			in = admin.SessionRequest{Token: secret, As: "bearer"}
		}
		var s admin.Session
		if _, err := api.do(ctx, call{method: "POST", path: "/session", json: in}, &s); err != nil {
			return err
		}
		api.token, me = s.Token, s.Me
	}
	if err := a.saveLogin(login{Address: api.base.String(), Token: api.token}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(me)
	}
	fmt.Fprintf(a.stdout, "Signed in to %s as %s (%s).\n", api.base, whoIs(me), strings.Join(me.Roles, ", "))
	if me.Bootstrap {
		fmt.Fprintln(a.stdout, "Next, create the first administrator: postern users create --email you@example.com --role admin")
	}
	return nil
}

func whoIs(me admin.Me) string {
	if me.User != nil {
		return me.User.Email
	}
	return me.Actor
}

// readSecret asks for a secret on a terminal without showing it, or reads a line of standard input.
func (a *app) readSecret(prompt string) (string, error) {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		if err != nil {
			return "", fmt.Errorf("reading from the terminal: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usagef("standard input is empty; it should hold the password or token")
	}
	return line, nil
}

func newLogoutCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "logout",
		Short:   "End the stored session",
		Long:    "End the session that login stored and forget it. An API token stays valid: revoke it in the console or by the API.",
		Example: "  postern logout",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			saved, err := a.savedLogin()
			if err != nil {
				return err
			}
			if saved.Token == "" {
				fmt.Fprintln(a.stdout, "Not signed in.")
				return nil
			}
			base, err := parseAddress(saved.Address)
			if err != nil {
				return err
			}
			api, err := a.newClient(base, saved.Token)
			if err != nil {
				return err
			}
			_, ended := api.do(c.Context(), call{method: "DELETE", path: "/session"}, nil)
			name, err := a.loginFile()
			if err != nil {
				return err
			}
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("forget the login: %w", err)
			}
			var refused *apiError
			if ended != nil && !errors.As(ended, &refused) { // a session that was over already is no failure
				return fmt.Errorf("the login is forgotten here, but the session was not ended there: %w", ended)
			}
			fmt.Fprintf(a.stdout, "Signed out of %s.\n", saved.Address)
			return nil
		},
	}
	return a.remote(c)
}
