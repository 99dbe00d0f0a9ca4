package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"streamgate/app/rpc"
)

// source is what one video is made of: a file, or a pipe.
type source struct {
	title  string
	named  bool // the title was asked for
	file   *os.File
	info   os.FileInfo
	resume resumeFile // of a file
	pipe   *pipe      // instead, if it can be read only once
}

// openSource refuses what cannot be a video before anything is created. The
// caller closes it.
func openSource(e *env, name, dataDir string) (*source, error) {
	if name == "-" {
		return &source{title: "Standard input", pipe: newPipe(e.stdin, "standard input")}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	src := &source{title: rpc.TitleOf(name), file: file}
	src.info, err = file.Stat()
	switch {
	case err != nil:
	case src.info.IsDir():
		err = fmt.Errorf("%s is a folder, not a file; push the videos in it with --recursive", name)
	case src.info.Mode()&fs.ModeNamedPipe != 0:
		src.pipe = newPipe(file, name)
	case !src.info.Mode().IsRegular():
		err = fmt.Errorf("%s is neither a file nor a pipe", name)
	case src.info.Size() == 0:
		err = fmt.Errorf("%s is empty", name)
	default:
		src.resume = newResumeFile(e, name, src.info, dataDir)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return src, nil
}

func (s *source) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// size is that of a file, bytes; a pipe's is not known: 0.
func (s *source) size() int64 {
	if s.pipe != nil {
		return 0
	}
	return s.info.Size()
}

// maxFiles is how many files one command pushes or watches.
const maxFiles = 100_000

// expand returns the files that the operands name; with recursive, the videos
// in folders instead of these. Of what is passed over skip is told why.
func expand(names []string, recursive bool, skip func(name, why string)) ([]string, error) {
	var all []string
	for _, name := range names {
		info, err := os.Stat(name)
		if !recursive || name == "-" || isURL(name) || err != nil || !info.IsDir() {
			all = append(all, name) // what is wrong with it is said when it is opened
			continue
		}
		found, err := videosIn(name, true, skip)
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) > maxFiles {
			return nil, fmt.Errorf("%s: there are more than %d files; push its folders one by one", name, maxFiles)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no video in %s", strings.Join(names, ", "))
	}
	return all, nil
}

// videosIn returns the videos in a folder and, if told, in those beneath, in
// the order of their names. Links are not followed.
func videosIn(folder string, recursive bool, skip func(name, why string)) ([]string, error) {
	var all []string
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == folder:
			return err
		case err != nil:
			skip(name, "it cannot be read")
		case d.IsDir() && name != folder && (!recursive || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir():
		default:
			if why := notVideo(name, d); why != "" {
				skip(name, why)
			} else if all = append(all, name); len(all) > maxFiles {
				return fmt.Errorf("%s: there are more than %d files; take its folders one by one", folder, maxFiles)
			}
		}
		return nil
	})
	return all, err
}

// videoNames are the extensions of files whose bytes do not say what they are.
var videoNames = []string{
	".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gxf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2",
	".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogg", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts",
	".vob", ".webm", ".wmv", ".y4m",
}

// sniffBytes is what tells of a file what it is.
const sniffBytes = 512

// notVideo says why a file of a folder is not pushed; "" if it may be a video.
// The node has the last word.
func notVideo(name string, d fs.DirEntry) string {
	switch {
	case strings.HasPrefix(d.Name(), "."):
		return "its name begins with a dot"
	case !d.Type().IsRegular():
		return "it is no regular file"
	}
	file, err := os.Open(name)
	if err != nil {
		return "it cannot be read"
	}
	defer file.Close()
	head := make([]byte, sniffBytes)
	n, err := io.ReadFull(file, head)
	if n == 0 {
		return "it is empty"
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "it cannot be read"
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head[:n]), ";")
	named := slices.Contains(videoNames, strings.ToLower(filepath.Ext(name)))
	switch {
	case strings.HasPrefix(kind, "video/"), named && (kind == "application/octet-stream" || kind == "application/ogg"):
		return ""
	case kind == "application/octet-stream":
		return "it is no video"
	}
	return "it is no video but " + kind
}
