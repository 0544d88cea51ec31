
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
M
9type.googleapis.com/gatehouse.config.v1.ReadOnlyGroupsSet
jiraa groups
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden