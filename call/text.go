package call

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// Language is a language of relay's explanations, as a BCP 47 tag.
type Language string

const (
	English Language = "en"
	Chinese Language = "zh-Hans" // also for readers of the traditional script: better than English
)

// Languages lists every language. The first is the default.
var Languages = []Language{English, Chinese}

var languages = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

// LanguageOf chooses the language by an Accept-Language header (RFC 9110,
// section 12.5.4) or by a locale such as zh-CN or zh_CN.
func LanguageOf(wanted string) Language {
	_, i := language.MatchStrings(languages, wanted)
	return Languages[i]
}

// Text is a text for people, in every language. Only Say makes one, so that no
// language can be forgotten.
type Text struct{ english, chinese string }

// Say makes a text.
func Say(english, chinese string) Text { return Text{english, chinese} }

// In is the text in one language.
func (t Text) In(l Language) string {
	if l == Chinese {
		return t.chinese
	}
	return t.english
}

// IsZero reports whether there is no text.
func (t Text) IsZero() bool { return t == Text{} }

// With puts values in the places of a text's verbs, which are those of package
// fmt. A Text among the values comes in the language of the whole. In Chinese a
// value is set apart from the words around it where they are of the other script.
func (t Text) With(values ...any) Text {
	in := func(l Language) []any {
		said := make([]any, len(values))
		for i, v := range values {
			if text, ok := v.(Text); ok {
				v = text.In(l)
			}
			said[i] = v
		}
		return said
	}
	return Text{fmt.Sprintf(t.english, in(English)...), fillChinese(t.chinese, in(Chinese))}
}

// verb is one of package fmt as texts have them: %s, %d, %[2]s, %%.
var verb = regexp.MustCompile(`%(?:\[(\d+)\])?([a-z%])`)

// fillChinese is fmt.Sprintf that sets the values apart; inside of a value nothing
// changes, for it may be a name.
func fillChinese(format string, values []any) string {
	said, next, end := "", 0, 0
	for _, at := range verb.FindAllStringSubmatchIndex(format, -1) {
		if format[at[4]] == '%' {
			said, end = joinChinese(said, format[end:at[0]])+"%", at[1]
			continue
		}
		if at[2] >= 0 {
			next, _ = strconv.Atoi(format[at[2]:at[3]])
			next--
		}
		value := "%!" + format[at[4]:at[5]] + "(MISSING)" // as package fmt says it
		if next < len(values) {
			value = fmt.Sprintf("%"+format[at[4]:at[5]], values[next])
		}
		said = joinChinese(joinChinese(said, format[end:at[0]]), value)
		next, end = next+1, at[1]
	}
	return joinChinese(said, format[end:])
}

// joinChinese puts a space between two pieces of text where a Chinese character
// meets a letter, a digit or a sign of another script, as in "通过 CallKit 展示".
func joinChinese(before, after string) string {
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	if before != "" && after != "" && (unicode.Is(unicode.Han, last) && narrow(first) || narrow(last) && unicode.Is(unicode.Han, first)) {
		return before + " " + after
	}
	return before + after
}

// narrow reports whether a rune is what Chinese sets apart: a letter or a digit of
// another script, or a sign that belongs to such words. Blanks, punctuation and
// full-width forms are not.
func narrow(r rune) bool {
	if strings.ContainsRune("`%$#@&_+", r) {
		return true
	}
	fullWidth := r >= 0xff00 && r <= 0xffef
	return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !fullWidth && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// Then joins two sentences; where one is zero, the result is the other.
func (t Text) Then(next Text) Text {
	switch {
	case t.IsZero():
		return next
	case next.IsZero():
		return t
	}
	return Text{t.english + " " + next.english, joinChinese(t.chinese, next.chinese)}
}

// List joins several names: "a, b and c".
func List(items []Text) Text {
	var all Text
	for i, item := range items {
		and := ", "
		if i == len(items)-1 {
			and = " and "
		}
		if i > 0 {
			item = Text{and + item.english, "、" + item.chinese}
		}
		all = Text{all.english + item.english, all.chinese + item.chinese}
	}
	return all
}

// Explanation is what something means and what to do about it.
type Explanation struct {
	Meaning Text // a sentence, or some
	Advice  Text // zero where there is nothing to do
}
