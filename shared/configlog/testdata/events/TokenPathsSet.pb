
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
K
5type.googleapis.com/gatehouse.config.v1.TokenPathsSet
jira
a patterns
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden