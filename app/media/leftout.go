package media

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"streamgate/store"
)

// The codes of warnings: what a source has that its viewers do not get.
const (
	WarnSound     = "sound_left_out"     // other streams of sound
	WarnPictures  = "pictures_left_out"  // other streams of pictures
	WarnSubtitles = "subtitles_left_out" // streams of subtitles
	WarnMixed     = "sound_mixed_down"   // more channels than two
	WarnColours   = "colours_not_mapped" // a high dynamic range
)

// leftOut tells what of a source is not in the video that is made of it.
func (o *probeOutput) leftOut(video, audio *stream) (all []store.Warning) {
	warn := func(code, format string, args ...any) {
		all = append(all, store.Warning{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	pictures, sounds, subtitles := o.besides(video, audio)
	if len(pictures) > 0 {
		warn(WarnPictures, "The file has %d streams of pictures; viewers see the one of %d × %d pixels.",
			len(pictures)+1, video.width, video.height)
	}
	if len(sounds) > 0 {
		warn(WarnSound, "The file has %d tracks of sound; viewers hear one (%s). Left out: %s.",
			len(sounds)+1, languageName(audio.language), languages(sounds))
	}
	if len(subtitles) > 0 {
		warn(WarnSubtitles, "The file's subtitles are left out (%s). Draw them into the picture if viewers need them.", languages(subtitles))
	}
	if audio != nil && audio.channels > maxChannels {
		warn(WarnMixed, "The sound has %d channels; viewers hear it in stereo.", audio.channels)
	}
	if video != nil && highRange[video.transfer] {
		warn(WarnColours, "The pictures have a high dynamic range (%s), which is not converted: their colours look pale on most screens.", video.transfer)
	}
	return all
}

// highRange are ffprobe's names of the transfer characteristics of HDR (ITU-T
// H.273, table 3).
var highRange = map[string]bool{"smpte2084": true, "arib-std-b67": true}

// besides are the languages of the streams that are not played, "" for none.
func (o *probeOutput) besides(video, audio *stream) (pictures, sounds, subtitles []string) {
	for _, s := range o.Streams {
		tag, _ := s.Tags["language"].(string)
		tag = bcp47(tag)
		switch {
		case s.attached():
		case s.Type == "video" && video != nil && s.Index != video.index:
			pictures = append(pictures, tag)
		case s.Type == "audio" && audio != nil && s.Index != audio.index:
			sounds = append(sounds, tag)
		case s.Type == "subtitle":
			subtitles = append(subtitles, tag)
		}
	}
	return pictures, sounds, subtitles
}

// maxNamed is how many languages a sentence names.
const maxNamed = 6

// languages names each language once, in the order of the streams.
func languages(tags []string) string {
	var names []string
	for _, tag := range tags {
		if name := languageName(tag); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// languageName is a language's name in English.
func languageName(tag string) string {
	parsed, err := language.Parse(languageTag(tag))
	if name := display.English.Tags().Name(parsed); err == nil && parsed != language.Und && name != "" {
		return name
	}
	return "no language given"
}
