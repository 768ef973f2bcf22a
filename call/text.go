package call

import (
	"fmt"

	"golang.org/x/text/language"
)

// Language is one in which relay explains itself, as a BCP 47 tag.
type Language string

const (
	English Language = "en"
	Chinese Language = "zh-Hans" // also for those who read the traditional script: better than English
)

// Languages lists every language. The first is for those who ask for none of them.
var Languages = []Language{English, Chinese}

var languages = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

// LanguageOf chooses the language for somebody by an Accept-Language header
// (RFC 9110, section 12.5.4) or by a locale such as zh-CN or zh_CN.
func LanguageOf(wanted string) Language {
	_, i := language.MatchStrings(languages, wanted)
	return Languages[i]
}

// Text is something said to people, in every language. Only Say makes one, so
// that none can be forgotten.
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

// IsZero reports whether nothing is said.
func (t Text) IsZero() bool { return t == Text{} }

// With puts values in the places of a text's verbs, which are those of package
// fmt. A Text among the values comes in the language of the whole.
func (t Text) With(values ...any) Text {
	in := func(l Language) string {
		said := make([]any, len(values))
		for i, v := range values {
			if text, ok := v.(Text); ok {
				v = text.In(l)
			}
			said[i] = v
		}
		return fmt.Sprintf(t.In(l), said...)
	}
	return Text{in(English), in(Chinese)}
}

// Then is a sentence with another one after it; without the one, the other alone.
func (t Text) Then(next Text) Text {
	switch {
	case t.IsZero():
		return next
	case next.IsZero():
		return t
	}
	return Text{t.english + " " + next.english, t.chinese + next.chinese}
}

// List names several things: "a, b and c".
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
