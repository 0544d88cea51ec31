
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
A
/type.googleapis.com/gatehouse.config.v1.ModeSet
jiraa mode
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden