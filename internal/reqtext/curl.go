package reqtext

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"postern/internal/header"
	"postern/internal/policy"
)

// parseCurl reads one or more curl commands, in the quoting of a POSIX shell, of bash ($'...') or of the Windows prompt,
// with the options that shape a request. Options about the transfer (-k, -s, --max-time) are accepted and noted where
// they matter; one that is not known is an error, because it might change what is sent.
func parseCurl(text string, o options) ([]Request, error) {
	commands, err := words(text)
	if err != nil {
		return nil, err
	}
	var out []Request
	for i, args := range commands {
		requests, err := parseCurlArgs(args, o)
		if err != nil {
			if len(commands) > 1 {
				return nil, fmt.Errorf("command %d: %w", i+1, err)
			}
			return nil, err
		}
		if out = append(out, requests...); len(out) > maxRequests {
			return nil, fmt.Errorf("more than %d requests", maxRequests)
		}
	}
	if len(out) > 1 {
		for i := range out {
			out[i].Name = fmt.Sprintf("request %d", i+1)
		}
	}
	return out, nil
}

// curlOption is how an option is read: its long name, and whether a value follows.
type curlOption struct {
	short byte
	long  string
	value bool
}

// The options of curl that a pasted command has. Those that do not shape the request are listed as well: an option that
// is not here is refused, since nobody knows whether a value follows it.
var curlOptions = func() (list []curlOption) {
	add := func(value bool, names string) {
		for _, n := range strings.Fields(names) {
			o := curlOption{long: n, value: value}
			if short, long, ok := strings.Cut(n, "/"); ok {
				o.short, o.long = short[0], long
			}
			list = append(list, o)
		}
	}
	add(true, `X/request H/header d/data data-raw data-binary data-ascii data-urlencode json u/user b/cookie F/form
		form-string url url-query A/user-agent e/referer T/upload-file oauth2-bearer request-target r/range z/time-cond
		m/max-time connect-timeout o/output x/proxy U/proxy-user cacert capath E/cert key key-type cert-type pass resolve
		connect-to retry retry-delay retry-max-time w/write-out c/cookie-jar interface limit-rate max-redirs dns-servers
		D/dump-header K/config ciphers tls-max tls13-ciphers Y/speed-limit y/speed-time C/continue-at trace trace-ascii
		noproxy proto proto-redir stderr unix-socket output-dir local-port keepalive-time expect100-timeout aws-sigv4
		max-filesize rate netrc-file proxy-header preproxy socks5 socks5-hostname happy-eyeballs-timeout-ms`)
	add(false, `G/get I/head k/insecure L/location compressed s/silent S/show-error v/verbose i/include f/fail
		fail-with-body fail-early N/no-buffer g/globoff path-as-is http1.0 http1.1 http2 http2-prior-knowledge http3
		http3-only 0/http1.0 4/ipv4 6/ipv6 #/progress-bar no-progress-meter O/remote-name J/remote-header-name R/remote-time
		location-trusted post301 post302 post303 tcp-nodelay no-keepalive keepalive tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3
		1/tlsv1 ssl-reqd anyauth basic digest ntlm negotiate n/netrc netrc-optional q/disable create-dirs remove-on-error
		retry-connrefused retry-all-errors raw tr-encoding styled-output no-styled-output Z/parallel a/append j/junk-session-cookies
		ssl-no-revoke tcp-fastopen p/proxytunnel disallow-username-in-url no-alpn no-sessionid trace-time false-start`)
	return list
}()

// curlState is what the options of one command say, up to --next.
type curlState struct {
	o        options
	urls     []string
	method   string
	header   header.List
	removed  []string
	data     []string
	unknown  bool // part of the data is not here
	hasData  bool
	json     bool
	form     []string
	get      bool
	head     bool
	upload   bool
	glob     bool // --globoff
	asIs     bool // --path-as-is
	user     string
	hasUser  bool
	bearer   string
	cookies  []string
	agent    string
	referer  string
	coded    bool // --compressed
	query    []string
	target   string
	spans    string
	proxy    string
	follows  bool
	insecure bool
	notes    []string
}

func parseCurlArgs(args []string, o options) ([]Request, error) {
	var out []Request
	st := &curlState{o: o, agent: "curl"}
	done := func() error {
		r, err := st.requests()
		out = append(out, r...)
		return err
	}
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--next" || a == "-:":
			if err := done(); err != nil {
				return nil, err
			}
			st = &curlState{o: o, agent: "curl"}
		case a == "--":
			st.urls = append(st.urls, args[i+1:]...)
			i = len(args)
		case strings.HasPrefix(a, "--"):
			opt, err := longOption(a[2:])
			if err != nil {
				return nil, err
			}
			value := ""
			if opt.value {
				if i++; i >= len(args) {
					return nil, fmt.Errorf("curl: the option --%s needs a value", opt.long)
				}
				value = args[i]
			}
			if err := st.apply(opt.long, value); err != nil {
				return nil, err
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				k := slices.IndexFunc(curlOptions, func(o curlOption) bool { return o.short == a[j] })
				if k < 0 {
					return nil, fmt.Errorf("curl: the option -%s is not known here; remove it if it does not shape the request", clip(a[j:j+1]))
				}
				value := ""
				if curlOptions[k].value {
					if value = a[j+1:]; value == "" {
						if i++; i >= len(args) {
							return nil, fmt.Errorf("curl: the option -%c needs a value", curlOptions[k].short)
						}
						value = args[i]
					}
					j = len(a)
				}
				if err := st.apply(curlOptions[k].long, value); err != nil {
					return nil, err
				}
			}
		default:
			st.urls = append(st.urls, a)
		}
	}
	return out, errors.Join(done())
}

func longOption(name string) (curlOption, error) {
	if name, ok := strings.CutPrefix(name, "no-"); ok { // --no-compressed and the like take back a default
		if i := slices.IndexFunc(curlOptions, func(o curlOption) bool { return o.long == name && !o.value }); i >= 0 {
			return curlOption{long: "no-" + name}, nil
		}
	}
	var names []string
	for _, o := range curlOptions {
		if o.long == name {
			return o, nil
		}
		names = append(names, o.long)
	}
	remedy := "remove it if it does not shape the request"
	if near := policy.Suggest(name, names); near != "" {
		remedy = "did you mean --" + near + "?"
	}
	return curlOption{}, fmt.Errorf("curl: the option --%s is not known here; %s", clip(name), remedy)
}

func (st *curlState) apply(option, value string) error {
	switch option {
	case "request":
		st.method = value
	case "header":
		return st.addHeader(value)
	case "data", "data-ascii", "data-binary", "json":
		st.json = st.json || option == "json"
		st.addData(value, option)
	case "data-raw":
		st.hasData, st.data = true, append(st.data, value)
	case "data-urlencode":
		st.addEncoded(value)
	case "form", "form-string":
		st.form = append(st.form, value)
		if _, v, _ := strings.Cut(value, "="); option == "form" && (strings.HasPrefix(v, "@") || strings.HasPrefix(v, "<")) {
			st.lacks("a part of the form is in a file")
		}
	case "get":
		st.get = true
	case "head":
		st.head = true
	case "user":
		st.user, st.hasUser = value, true
	case "oauth2-bearer":
		st.bearer = value
	case "cookie":
		if !strings.Contains(value, "=") {
			st.note("the cookies are in a file, which was not read")
			return nil
		}
		st.cookies = append(st.cookies, value)
	case "user-agent":
		st.agent = value
	case "referer":
		st.referer = strings.TrimSuffix(value, ";auto")
	case "url":
		st.urls = append(st.urls, value)
	case "url-query":
		st.query = append(st.query, value)
	case "upload-file":
		st.upload = true
		st.lacks("the body is a file to upload")
	case "request-target":
		st.target = value
	case "range":
		st.spans = value
	case "compressed":
		st.coded = true
	case "globoff":
		st.glob = true
	case "path-as-is":
		st.asIs = true
	case "config":
		return errors.New("curl: options in a file (-K) are not read; write them in the command")
	case "location", "location-trusted":
		st.follows = true
		st.note("redirects (-L) are not followed: the first request is the one that is judged")
	case "insecure":
		st.insecure = true
	case "proxy":
		_, host, ok := cutLast(value, "@")
		if !ok {
			host = value
		}
		st.proxy = host
	case "aws-sigv4", "digest", "ntlm", "negotiate", "anyauth", "netrc", "cert":
		st.note("what --" + option + " adds to the request is not known here")
	}
	return nil
}

func (st *curlState) note(s string) { st.notes = append(st.notes, s) }

func (st *curlState) lacks(what string) {
	st.unknown = true
	st.note(what + ", which was not read; what depends on the body is unknown")
}

// addHeader reads -H: "Name: value", "Name;" for an empty value, "Name:" to leave out a field that curl adds.
func (st *curlState) addHeader(s string) error {
	if strings.HasPrefix(s, "@") {
		return errors.New("curl: header fields in a file (-H @file) are not read; write them in the command")
	}
	name, value, colon := strings.Cut(s, ":")
	name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t\r\n")
	switch {
	case colon && value != "":
		st.header = append(st.header, header.Field{Name: name, Value: value})
	case colon:
		st.removed = append(st.removed, name)
	case strings.HasSuffix(s, ";"):
		st.header = append(st.header, header.Field{Name: strings.TrimSuffix(s, ";")})
	default:
		return fmt.Errorf("curl: %q is no header field; write Name: value", clip(s))
	}
	return nil
}

func (st *curlState) addData(value, option string) {
	st.hasData = true
	file, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		st.data = append(st.data, value)
		return
	}
	if st.o.readFile != nil && file != "-" {
		if b, err := st.o.readFile(file); err == nil {
			text := string(b)
			if option == "data" || option == "data-ascii" { // curl drops line ends of files for these two
				text = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
			}
			st.data = append(st.data, text)
			return
		}
	}
	st.lacks(fmt.Sprintf("the body is in the file %q", clip(file)))
}

func (st *curlState) addEncoded(value string) {
	st.hasData = true
	i := strings.IndexAny(value, "=@")
	switch {
	case i < 0:
		st.data = append(st.data, url.QueryEscape(value))
	case value[i] == '@':
		st.lacks("a part of the body is in a file")
	case i == 0:
		st.data = append(st.data, url.QueryEscape(value[1:]))
	default:
		st.data = append(st.data, value[:i+1]+url.QueryEscape(value[i+1:]))
	}
}
