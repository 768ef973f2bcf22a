package relay_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/pushwake/relay/call"
)

// saying is one text of the program, with its place.
type saying struct{ at, english, chinese string }

// literal evaluates a string as it is written; ok is false for what is none.
func literal(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, ok1 := literal(e.X)
		right, ok2 := literal(e.Y)
		return left + right, ok1 && ok2
	}
	return "", false
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// sayings lists every text that the program's source says, and all Chinese in it
// that is said otherwise.
func sayings(t *testing.T) (said []saying, stray []string) {
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		inSay := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && len(c.Args) == 2 {
				name := ""
				switch f := c.Fun.(type) {
				case *ast.Ident:
					name = f.Name
				case *ast.SelectorExpr:
					name = f.Sel.Name
				}
				english, ok1 := literal(c.Args[0])
				chinese, ok2 := literal(c.Args[1])
				if name == "Say" && ok1 && ok2 {
					said = append(said, saying{files.Position(n.Pos()).String(), english, chinese})
					ast.Inspect(c.Args[1], func(n ast.Node) bool { inSay[n] = true; return true })
				}
			}
			if lit, ok := n.(*ast.BasicLit); ok && !inSay[n] {
				if text, ok := literal(lit); ok && hasHan(text) {
					stray = append(stray, files.Position(n.Pos()).String()+": "+text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return said, stray
}

var (
	// touching is where Chinese and another script stand without a space between.
	touching = regexp.MustCompile("\\p{Han}[0-9`%$#@&_+\\p{Latin}]|[0-9`%$#@&_+\\p{Latin}]\\p{Han}")
	// gaping is a blank too many: two, or one beside Chinese punctuation.
	gaping = regexp.MustCompile(`  |[，。：；、（）“”！？] | [，。：；、（）“”！？]`)
	aVerb  = regexp.MustCompile(`%(?:\[\d+\])?([a-z])`)
)

// TestChineseSpacing holds all texts to one rule: a space where Chinese meets
// another script, none elsewhere; in the words themselves, and whatever value is
// put in.
func TestChineseSpacing(t *testing.T) {
	t.Parallel()
	said, stray := sayings(t)
	if len(said) < 200 {
		t.Errorf("only %d texts were found", len(said))
	}
	for _, text := range stray {
		t.Errorf("%s: Chinese that no call of Say says", text)
	}
	for _, s := range said {
		if gap := gaping.FindString(s.chinese); gap != "" {
			t.Errorf("%s: a blank too many at %q in %q", s.at, gap, s.chinese)
		}
		for _, words := range aVerb.Split(s.chinese, -1) {
			if at := touching.FindString(words); at != "" {
				t.Errorf("%s: no space at %q in %q", s.at, at, s.chinese)
			}
		}
		for _, value := range []string{"CallKit", "5", "`x`", "中国", "（甲）", "PC 上的 7", "é"} {
			var values []any
			for _, verb := range aVerb.FindAllStringSubmatch(s.chinese, -1) {
				if verb[1] == "d" {
					values = append(values, 17)
				} else {
					values = append(values, call.Say(value, value))
				}
			}
			got := call.Say(s.english, s.chinese).With(values...).In(call.Chinese)
			if at := touching.FindString(got); at != "" {
				t.Errorf("%s: no space at %q in %q", s.at, at, got)
			}
			if at := gaping.FindString(got); at != "" && value != "（甲）" { // which brings its own, where the words leave one for Latin
				t.Errorf("%s: a blank too many at %q in %q", s.at, at, got)
			}
			if strings.Contains(got, "%!") {
				t.Errorf("%s: %s", s.at, got)
			}
		}
	}
}
