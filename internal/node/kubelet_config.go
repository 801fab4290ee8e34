package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// maxFile is far above any configuration, and any bundle of CAs.
	maxFile = 1 << 20
	// maxDropIns is far above what anybody has in a --config-dir, with all that lies beside.
	maxDropIns = 1000
)

// configuration are the layers of a KubeletConfiguration, in the order in which they are merged.
type configuration struct {
	layers []layer
	// whole: every layer is known.
	whole bool
}

type layer struct {
	file    string
	content any
	// folder is where relative paths begin; empty: at the kubelet's working directory.
	folder string
}

// readConfiguration reads the --config file and then the *.conf files below --config-dir in lexical order, those in folders too.
func readConfiguration(flags flags, files fs.FS) (configuration, []error) {
	c := configuration{whole: true}
	var unread []error
	note := func(err error) {
		if err != nil {
			c.whole = false
			unread = append(unread, err)
		}
	}
	if file := flags.path("config", ""); !file.Known {
		note(errors.New("--config is a relative path, which begins at the kubelet's working directory"))
	} else if file.Value != "" {
		note(c.add(files, file.Value, filepath.Dir(file.Value)))
	}
	if folder := flags.path("config-dir", ""); !folder.Known {
		note(errors.New("--config-dir is a relative path, which begins at the kubelet's working directory"))
	} else if folder.Value != "" {
		note(c.addFolder(files, folder.Value, note))
	}
	return c, unread
}

func (c *configuration) addFolder(files fs.FS, folder string, note func(error)) error {
	seen := 0
	return fs.WalkDir(files, inside(folder), func(name string, entry fs.DirEntry, err error) error {
		if seen++; seen > maxDropIns {
			return fmt.Errorf("%s holds more than %d files", folder, maxDropIns)
		}
		switch {
		case err != nil:
			return err
		case entry.IsDir() || path.Ext(name) != ".conf":
			return nil
		}
		note(c.add(files, "/"+name, ""))
		return nil
	})
}

func (c *configuration) add(files fs.FS, name, folder string) error {
	text, err := read(files, name)
	if err != nil {
		return err
	}
	var content any
	if err := yaml.Unmarshal(text, &content); err != nil {
		return fmt.Errorf("%s is no YAML", name) // the parser's words may quote what it holds
	}
	c.layers = append(c.layers, layer{file: name, content: content, folder: folder})
	return nil
}

// lookup finds a field, merging as the kubelet does (a JSON merge patch, RFC 7386: null takes back what an earlier layer says).
func (c *configuration) lookup(field ...string) (value any, from layer) {
	for _, l := range c.layers {
		found, says := in(l.content, field)
		if !says {
			continue
		}
		value, from = found, l
		if found == nil {
			from = layer{}
		}
	}
	return value, from
}

// in finds a field in one layer. A layer says something about it also when it replaces, or takes back, what it would lie in.
func in(content any, field []string) (value any, says bool) {
	for _, name := range field {
		object, isObject := content.(map[string]any)
		if !isObject {
			return nil, true
		}
		if content, says = object[name]; !says {
			return nil, false
		}
	}
	return content, true
}

func (c *configuration) bool(field ...string) Told[bool] {
	value, from := c.lookup(field...)
	yes, is := value.(bool)
	if !c.whole || value != nil && !is {
		return Told[bool]{By: from.file}
	}
	return Told[bool]{Value: yes, Known: true, By: from.file}
}

func (c *configuration) path(field ...string) Told[string] {
	value, from := c.lookup(field...)
	text, is := value.(string)
	switch relative := text != "" && !filepath.IsAbs(text); {
	case !c.whole, value != nil && !is, relative && from.folder == "":
		return Told[string]{By: from.file}
	case relative:
		text = filepath.Join(from.folder, text)
	}
	return Told[string]{Value: text, Known: true, By: from.file}
}

// inside is a path as a file system whose root is / wants it.
func inside(name string) string {
	if name = strings.TrimPrefix(filepath.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

// read returns what is in a regular file.
func read(files fs.FS, name string) ([]byte, error) {
	file, err := files.Open(inside(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
