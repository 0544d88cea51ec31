
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
Q
=type.googleapis.com/gatehouse.config.v1.TokenCreatorGroupsSet
jiraa groups
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden