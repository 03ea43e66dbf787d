package reqtext

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

var (
	prompt        = regexp.MustCompile(`(?m)^\s*[$>%#]\s+(curl\b)`)
	caretLineEnd  = regexp.MustCompile(`(?m)\^[ \t]*\r?$`)
	caretQuote    = regexp.MustCompile(`(?m)(?:^|\s)\^"`)
	posixContinue = regexp.MustCompile(`\\[ \t]*\r?\n`)
)

// words splits the curl commands of a text into their arguments. Nothing is run and nothing outside the text is looked at:
// a command that uses a variable or the output of another command is refused, since what it would send is not known.
func words(text string) ([][]string, error) {
	posix := posixContinue.MatchString(text) || strings.Contains(text, " '") // the Windows prompt quotes with " only
	if !posix && (caretQuote.MatchString(text) || caretLineEnd.MatchString(text)) {
		return windowsWords(text)
	}
	text = prompt.ReplaceAllString(text, "$1")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = posixContinue.ReplaceAllString(text, "\\\n") // a space behind the backslash is an old slip of copying
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(strings.TrimSpace(text)+"\n"), "")
	if err != nil {
		var pe syntax.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("line %d, column %d: the shell cannot read this: %s", pe.Pos.Line(), pe.Pos.Col(), pe.Text)
		}
		return nil, fmt.Errorf("the shell cannot read this: %w", err)
	}
	var out [][]string
	for _, s := range file.Stmts {
		args, err := commandWords(s)
		if err != nil {
			return nil, err
		}
		out = append(out, args)
	}
	if len(out) == 0 {
		return nil, ErrForm
	}
	return out, nil
}

// commandWords returns the arguments of one statement. Of a pipeline ("curl … | jq") the curl is taken.
func commandWords(s *syntax.Stmt) ([]string, error) {
	cmd := s.Cmd
	for {
		b, ok := cmd.(*syntax.BinaryCmd)
		if !ok {
			break
		}
		if b.Op != syntax.Pipe && b.Op != syntax.PipeAll {
			return nil, fmt.Errorf("line %d: give one command a line, without && and ||", b.OpPos.Line())
		}
		cmd = b.X.Cmd
	}
	call, ok := cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return nil, fmt.Errorf("line %d: this is no curl command", s.Pos().Line())
	}
	var args []string
	for _, w := range call.Args {
		arg, err := literal(w)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	if !isCurl(args[0]) {
		return nil, fmt.Errorf("line %d: %q is not curl", s.Pos().Line(), clip(args[0]))
	}
	return args, nil
}

func isCurl(s string) bool {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	return s == "curl" || s == "curl.exe"
}

// literal removes the quotes of a word.
func literal(w *syntax.Word) (string, error) {
	var bad error
	refuse := func(pos syntax.Pos, what string) bool {
		if bad == nil {
			bad = fmt.Errorf("line %d, column %d: the command uses %s, whose value is not known here; write the value itself", pos.Line(), pos.Col(), what)
		}
		return false
	}
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			name := "a variable"
			if n.Param != nil {
				name = "the variable $" + clip(n.Param.Value)
			}
			return refuse(n.Pos(), name)
		case *syntax.CmdSubst:
			return refuse(n.Pos(), "the output of another command")
		case *syntax.ProcSubst:
			return refuse(n.Pos(), "the output of another command")
		case *syntax.ArithmExp:
			return refuse(n.Pos(), "a calculation")
		case *syntax.ExtGlob:
			return refuse(n.Pos(), "a pattern of file names")
		}
		return true
	})
	if bad != nil {
		return "", bad
	}
	s, err := expand.Literal(nil, w)
	if err != nil {
		return "", fmt.Errorf("line %d: %w", w.Pos().Line(), err)
	}
	return s, nil
}

// windowsWords splits commands in the quoting of the Windows prompt, as browsers copy them: a caret takes the meaning of
// the character behind it, and programs then split the line themselves, where \" is a quote within quotes.
func windowsWords(text string) ([][]string, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var line strings.Builder
	var lines []string
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '^' && !quoted && i+1 < len(text):
			i++
			if text[i] != '\n' {
				line.WriteByte(text[i])
			} else if i+1 < len(text) && text[i+1] == '\n' { // a line end in a value is written as ^, two line ends
				line.WriteByte('\n')
				i++
			}
		case c == '\n' && !quoted:
			lines = append(lines, line.String())
			line.Reset()
		default:
			if c == '"' && (i == 0 || text[i-1] != '\\') {
				quoted = !quoted
			}
			line.WriteByte(c)
		}
	}
	lines = append(lines, line.String())
	var out [][]string
	for n, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		args, err := splitWindows(strings.TrimPrefix(l, "> "))
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", n+1, err)
		}
		if len(args) == 0 || !isCurl(args[0]) {
			return nil, fmt.Errorf("command %d: this is no curl command", n+1)
		}
		out = append(out, args)
	}
	if len(out) == 0 {
		return nil, ErrForm
	}
	return out, nil
}

// splitWindows splits a command line as C programs on Windows do.
func splitWindows(s string) ([]string, error) {
	var args []string
	var arg strings.Builder
	open, quoted := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			n := 0
			for i < len(s) && s[i] == '\\' {
				n++
				i++
			}
			if i < len(s) && s[i] == '"' {
				arg.WriteString(strings.Repeat(`\`, n/2))
				if n%2 == 1 {
					arg.WriteByte('"')
				} else {
					i--
				}
			} else {
				arg.WriteString(strings.Repeat(`\`, n))
				i--
			}
			open = true
		case c == '"':
			quoted, open = !quoted, true
		case (c == ' ' || c == '\t') && !quoted:
			if open {
				args = append(args, arg.String())
				arg.Reset()
				open = false
			}
		default:
			arg.WriteByte(c)
			open = true
		}
	}
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	if open {
		args = append(args, arg.String())
	}
	return args, nil
}
