
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
d
5type.googleapis.com/gatehouse.config.v1.SiteAddressed+
jiraa hostsa context_path"
a base_url
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden