
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
I
3type.googleapis.com/gatehouse.config.v1.ApiPathsSet
jira
a patterns
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden