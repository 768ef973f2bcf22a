package call

import (
	"regexp"
	"strconv"
	"strings"
)

// Version is a platform's system version.
type Version struct {
	Major, Minor, Patch int
	API                 int // HarmonyOS API level, the number in parentheses; 0 where none is given
}

// systemNames is what may stand before the number of a version.
const systemNames = `(?:harmonyos|openharmony|next|android|ipados|iphone os|ios|version)`

var (
	parentheses = regexp.MustCompile(`\(([^()]*)\)`)
	apiLevel    = regexp.MustCompile(`(?i)^(?:api(?: ?(?:level|version))? ?)?(\d+)$`)
	// A number with points counts right after a name, or else at the start or
	// after a blank: "iPhone15,2" and "21F79" are no versions.
	namedVersion = regexp.MustCompile(`(?i)\b` + systemNames + `[ _/-]*v?(\d+(?:\.\d+)+)`)
	otherVersion = regexp.MustCompile(`(?i)(?:^|\s)v?(\d+(?:\.\d+)+)`)
	// One without points counts where nothing else is said.
	wholeVersion = regexp.MustCompile(`(?i)^(?:` + systemNames + `[ _/-]*)*(\d+)(?:\s+(?:release|beta|rc)\b.*)?$`)
)

// HarmonyOS counted its versions to 6, and from 26 on by the year, which is the
// API level too. The numbers between are API levels alone.
const (
	lastCounted = 6
	firstByYear = 26
)

// ParseVersion reads a system version as a device of the platform writes it:
// "6.1.0(23)", "17.4" or "14", also with a name, a model or a build around it, as
// in "OpenHarmony-6.0.0.36" and "ALN-AL00 5.0.0.102(C00E100R4P17)". Parts after
// the third do not count. ok is false where no version can be read, as in an API
// level alone.
func ParseVersion(p Platform, s string) (v Version, ok bool) {
	s = strings.NewReplacer("（", "(", "）", ")").Replace(s)
	for _, inside := range parentheses.FindAllStringSubmatch(s, -1) {
		text := strings.TrimSpace(inside[1])
		level := apiLevel.FindStringSubmatch(text)
		switch {
		case level != nil:
			n, err := strconv.Atoi(level[1])
			if err != nil || v.API != 0 {
				return Version{}, false
			}
			v.API = n
		case !strings.ContainsFunc(text, isLetter): // a build has letters
			return Version{}, false
		}
	}
	s = strings.TrimSpace(parentheses.ReplaceAllString(s, " "))
	if strings.ContainsAny(s, "()") {
		return Version{}, false
	}
	number := ""
	if m := namedVersion.FindStringSubmatch(s); m != nil {
		number = m[1]
	} else if m := otherVersion.FindStringSubmatch(s); m != nil {
		number = m[1]
	} else if m := wholeVersion.FindStringSubmatch(s); m != nil {
		number = m[1]
	}
	parts := strings.Split(number, ".")
	for i, dst := range []*int{&v.Major, &v.Minor, &v.Patch} {
		if i >= len(parts) {
			break
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return Version{}, false
		}
		*dst = n
	}
	if p == HarmonyOS && len(parts) == 1 && v.Major > lastCounted && v.Major < firstByYear {
		return Version{}, false
	}
	return v, true
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// AtLeast reports whether v is min or newer. API levels decide where both
// have one, since they are what HarmonyOS documents features by.
func (v Version) AtLeast(min Version) bool {
	if v.API > 0 && min.API > 0 {
		return v.API >= min.API
	}
	if v.Major != min.Major {
		return v.Major > min.Major
	}
	if v.Minor != min.Minor {
		return v.Minor > min.Minor
	}
	return v.Patch >= min.Patch
}
