
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
M
4type.googleapis.com/gatehouse.config.v1.NodeAttached
jiraa nodea url
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden