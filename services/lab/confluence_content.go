package lab

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (k *wiki) contentRoutes() {
	k.route("GET /rest/api/content", k.listContent)
	k.route("POST /rest/api/content", k.createContent)
	k.route("GET /rest/api/content/search", k.searchContent)
	k.route("GET /rest/api/search", k.searchSite)
	k.route("GET /rest/api/content/{id}", k.onContent(k.readContent))
	k.route("PUT /rest/api/content/{id}", k.onContent(k.editContent))
	k.route("DELETE /rest/api/content/{id}", k.onContent(k.deleteContent))
	k.route("GET /rest/api/content/{id}/child/attachment", k.onContent(k.listFiles))
	k.route("POST /rest/api/content/{id}/child/attachment", k.onContent(k.attach))
}

type contentResource func(w http.ResponseWriter, r *http.Request, c call, p page)

// onContent finds the content of the path. Confluence says 404 to those who may
// not see it, and 403 to anonymous callers who would change it.
func (k *wiki) onContent(answer contentResource) resource {
	return func(w http.ResponseWriter, r *http.Request, c call) {
		p, ok := k.pages.find(r.PathValue("id"), c)
		if !ok {
			confluenceError(w, http.StatusNotFound, "No content found with id: ContentId{id="+r.PathValue("id")+"}")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && c.anonymous() {
			confluenceError(w, http.StatusForbidden, "User not permitted to use Confluence")
			return
		}
		answer(w, r, c, p)
	}
}

func expanded(r *http.Request) []string { return strings.Split(r.FormValue("expand"), ",") }

func spaceView(s space, base string) map[string]any {
	return map[string]any{
		"id": s.id, "key": s.key, "name": s.name, "type": "global", "status": "CURRENT",
		"_links":      map[string]any{"webui": "/display/" + s.key, "self": base + "/rest/api/space/" + s.key},
		"_expandable": map[string]any{"metadata": "", "icon": "", "description": "", "homepage": ""},
	}
}

func (k *wiki) listSpaces(w http.ResponseWriter, r *http.Request, c call) {
	keys := r.URL.Query()["spaceKey"]
	views := []map[string]any{}
	for _, s := range spaces() {
		if (s.public || !c.anonymous()) && (len(keys) == 0 || slices.Contains(keys, s.key)) {
			views = append(views, spaceView(s, c.base))
		}
	}
	writePaged(w, r, c, views, 25)
}

func (k *wiki) oneSpace(w http.ResponseWriter, r *http.Request, c call) {
	s, ok := spaceOf(r.PathValue("key"), c)
	if !ok {
		confluenceError(w, http.StatusNotFound, "No space found with key : "+r.PathValue("key"))
		return
	}
	writeJSON(w, http.StatusOK, spaceView(s, c.base))
}

// contentView is Confluence's content bean; space, version and body.storage only
// when they are asked for.
func (k *wiki) contentView(p page, base string, expand []string) map[string]any {
	id := strconv.Itoa(p.id)
	view := map[string]any{
		"id": id, "type": p.kind, "status": "current", "title": p.title,
		"extensions": map[string]any{"position": "none"},
		"_links": map[string]any{
			"base": base, "context": "", "collection": "/rest/api/content", "self": base + "/rest/api/content/" + id,
			"webui": "/display/" + p.space.key + "/" + url.QueryEscape(p.title), "tinyui": "/x/" + id,
		},
	}
	hidden := map[string]any{}
	part := func(name string, full any) {
		if slices.ContainsFunc(expand, func(e string) bool { return e == name || strings.HasPrefix(e, name+".") }) {
			view[name] = full
			return
		}
		hidden[name] = ""
	}
	author, _ := k.users.find(p.author)
	part("space", spaceView(p.space, base))
	part("version", map[string]any{
		"by": personView(author, base), "when": isoStamp(p.when), "message": "",
		"number": p.version, "minorEdit": false, "hidden": false,
	})
	part("body", map[string]any{
		"storage":     map[string]any{"value": p.body, "representation": "storage", "_expandable": map[string]any{}},
		"_expandable": map[string]any{"editor": "", "view": "", "export_view": "", "styled_view": "", "anonymous_export_view": ""},
	})
	view["_expandable"] = hidden
	return view
}

func (k *wiki) writePages(w http.ResponseWriter, r *http.Request, c call, found []page) {
	views := []map[string]any{}
	for _, p := range found {
		views = append(views, k.contentView(p, c.base, expanded(r)))
	}
	writePaged(w, r, c, views, 25)
}

func (k *wiki) listContent(w http.ResponseWriter, r *http.Request, c call) {
	q := query{}
	for field, value := range map[string]string{
		"type": cmp.Or(r.FormValue("type"), "page"), "space": r.FormValue("spaceKey"), "title": r.FormValue("title"),
	} {
		if value != "" {
			q.clauses = append(q.clauses, clause{field: field, op: "=", values: []string{value}})
		}
	}
	k.writePages(w, r, c, k.pages.search(q, c))
}

// cql runs ?cql=, or answers 400.
func (k *wiki) cql(w http.ResponseWriter, r *http.Request, c call) ([]page, bool) {
	q, err := parseQuery(r.FormValue("cql"), pageFields()...)
	if err != nil {
		confluenceError(w, http.StatusBadRequest, "Could not parse cql : "+err.Error())
		return nil, false
	}
	return k.pages.search(q, c), true
}

func (k *wiki) searchContent(w http.ResponseWriter, r *http.Request, c call) {
	if found, ok := k.cql(w, r, c); ok {
		k.writePages(w, r, c, found)
	}
}

func (k *wiki) searchSite(w http.ResponseWriter, r *http.Request, c call) {
	found, ok := k.cql(w, r, c)
	if !ok {
		return
	}
	views := []map[string]any{}
	for _, p := range found {
		views = append(views, map[string]any{
			"content": k.contentView(p, c.base, nil), "title": p.title, "excerpt": p.body,
			"url": "/display/" + p.space.key + "/" + url.QueryEscape(p.title), "entityType": "content",
			"lastModified": isoStamp(p.when),
		})
	}
	writePaged(w, r, c, views, 25)
}

// contentInput is what create and edit take.
type contentInput struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	Space struct {
		Key string `json:"key"`
	} `json:"space"`
	Body struct {
		Storage struct {
			Value string `json:"value"`
		} `json:"storage"`
	} `json:"body"`
	Version struct {
		Number int `json:"number"`
	} `json:"version"`
}

func (k *wiki) createContent(w http.ResponseWriter, r *http.Request, c call) {
	var in contentInput
	if !readJSON(w, r, &in) {
		return
	}
	s, ok := spaceOf(in.Space.Key, c)
	switch {
	case c.anonymous():
		confluenceError(w, http.StatusForbidden, "User not permitted to use Confluence")
	case !ok:
		confluenceError(w, http.StatusNotFound, "No space found with key : "+in.Space.Key)
	case strings.TrimSpace(in.Title) == "":
		confluenceError(w, http.StatusBadRequest, "A title is required")
	case k.pages.taken(s, in.Title):
		confluenceError(w, http.StatusBadRequest, "A page with this title already exists: "+in.Title)
	default:
		p := k.pages.create(page{
			space: s, kind: cmp.Or(in.Type, "page"), title: in.Title, body: in.Body.Storage.Value, author: c.name,
		})
		writeJSON(w, http.StatusOK, k.contentView(p, c.base, []string{"space", "version", "body"}))
	}
}

func (k *wiki) readContent(w http.ResponseWriter, r *http.Request, c call, p page) {
	expand := expanded(r)
	if r.FormValue("expand") == "" {
		expand = []string{"space", "version"}
	}
	writeJSON(w, http.StatusOK, k.contentView(p, c.base, expand))
}

func (k *wiki) editContent(w http.ResponseWriter, r *http.Request, c call, p page) {
	var in contentInput
	if !readJSON(w, r, &in) {
		return
	}
	changed, ok := k.pages.edit(p.id, in.Version.Number, func(p *page) {
		p.title, p.body, p.author = cmp.Or(in.Title, p.title), in.Body.Storage.Value, c.name
	})
	if !ok {
		confluenceError(w, http.StatusConflict, "Version must be incremented on update. Current version is: "+strconv.Itoa(p.version))
		return
	}
	writeJSON(w, http.StatusOK, k.contentView(changed, c.base, []string{"space", "version", "body"}))
}

func (k *wiki) deleteContent(w http.ResponseWriter, _ *http.Request, _ call, p page) {
	k.pages.remove(p.id)
	w.WriteHeader(http.StatusNoContent)
}

func (k *wiki) fileView(f Attachment, p page, base string) map[string]any {
	return map[string]any{
		"id": "att" + f.ID, "type": "attachment", "status": "current", "title": f.Name,
		"metadata":   map[string]any{"mediaType": f.MimeType},
		"extensions": map[string]any{"mediaType": f.MimeType, "fileSize": f.Size, "lab.sha256": f.SHA256},
		"_links": map[string]any{
			"base": base, "self": base + "/rest/api/content/att" + f.ID,
			"download": "/download/attachments/" + strconv.Itoa(p.id) + "/" + url.PathEscape(f.Name),
		},
	}
}

func (k *wiki) listFiles(w http.ResponseWriter, r *http.Request, c call, p page) {
	views := []map[string]any{}
	for _, id := range p.attached {
		if f, ok := k.files.find(id); ok {
			views = append(views, k.fileView(f, p, c.base))
		}
	}
	writePaged(w, r, c, views, 50)
}

func (k *wiki) attach(w http.ResponseWriter, r *http.Request, c call, p page) {
	added, err := eachFile(r, k.files, c.name)
	if err != nil {
		confluenceError(w, http.StatusBadRequest, "The multipart body could not be read: "+err.Error())
		return
	}
	views := []map[string]any{}
	for _, f := range added {
		k.pages.attach(p.id, f.ID)
		views = append(views, k.fileView(f, p, c.base))
	}
	writePaged(w, r, c, views, 50)
}
